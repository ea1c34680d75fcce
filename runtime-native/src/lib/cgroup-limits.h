/* What the files about limits share. Each setter gets the cgroup's folder in the hierarchy of its controller. */
#ifndef TS_CGROUP_LIMITS_H
#define TS_CGROUP_LIMITS_H

#include "lib/cgroup.h"

int write_limit (int dirfd, const char *path, const char *file, const char *text, struct ts_result *res);
int write_number (int dirfd, const char *path, const char *file, int64_t value, struct ts_result *res);

/* "2MB", "1GB": as the hugetlb controller spells a page size in its file names. */
void format_page_size (int64_t bytes, char *text, size_t size);

int set_cpu_v1 (int fd, const char *path, const struct ts_cgroup_limits *limits, struct ts_result *res);
int set_memory_v1 (int fd, const char *path, const struct ts_cgroup_limits *limits, struct ts_result *res);
int set_io_v1 (int fd, const char *path, const struct ts_cgroup_limits *limits, struct ts_result *res);
int set_hugepages_v1 (int fd, const char *path, const struct ts_cgroup_limits *limits, struct ts_result *res);

int set_cpu_v2 (int fd, const char *path, const struct ts_cgroup_limits *limits, struct ts_result *res);
int set_memory_v2 (int fd, const char *path, const struct ts_cgroup_limits *limits, struct ts_result *res);
int set_io_v2 (int fd, const char *path, const struct ts_cgroup_limits *limits, struct ts_result *res);
int set_hugepages_v2 (int fd, const char *path, const struct ts_cgroup_limits *limits, struct ts_result *res);

#endif

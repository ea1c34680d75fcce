/* Limits of a cgroup as v1 and v2 spell them. The file names are those of Documentation/admin-guide/cgroup-v1 and
   cgroup-v2.rst. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/cgroup-limits.h"
#include "lib/cleanup.h"
#include "lib/device-filter.h"

int
write_limit (int dirfd, const char *path, const char *file, const char *text, struct ts_result *res)
{
  int err = write_cgroup_file (dirfd, file, text);

  if (err < 0)
    return ts_fail (res, -err, "set cgroup limit", "%s of \"%s\" to %s", file, path, text);
  return 0;
}

int
write_number (int dirfd, const char *path, const char *file, int64_t value, struct ts_result *res)
{
  char text[32];

  snprintf (text, sizeof text, "%" PRId64, value);
  return write_limit (dirfd, path, file, text, res);
}

void
format_page_size (int64_t bytes, char *text, size_t size)
{
  if (bytes >= 1LL << 30)
    snprintf (text, size, "%" PRId64 "GB", bytes >> 30);
  else if (bytes >= 1LL << 20)
    snprintf (text, size, "%" PRId64 "MB", bytes >> 20);
  else
    snprintf (text, size, "%" PRId64 "KB", bytes >> 10);
}

/* The same names in both versions. A cpuset with neither CPUs nor memory nodes of its own has its parent's. */
static int
set_cpuset (int fd, const char *path, const struct ts_cgroup_limits *limits, struct ts_result *res)
{
  int err = 0;

  if (limits->cpuset_cpus)
    err = write_limit (fd, path, "cpuset.cpus", limits->cpuset_cpus, res);
  if (err == 0 && limits->cpuset_mems)
    err = write_limit (fd, path, "cpuset.mems", limits->cpuset_mems, res);
  return err;
}

static int
set_pids (int fd, const char *path, const struct ts_cgroup_limits *limits, struct ts_result *res)
{
  return write_number (fd, path, "pids.max", limits->pids, res);
}

/* One rule a write, but all through one open file. */
static int
allow_devices (int fd, const char *path, struct ts_result *res)
{
  static const char file[] = "devices.allow";
  cleanup_close int allow = openat (fd, file, O_WRONLY | O_CLOEXEC);

  if (allow < 0)
    return ts_fail (res, errno, "set cgroup limit", "%s of \"%s\"", file, path);
  for (const struct device_rule *rule = default_device_rules; rule->type; rule++)
    {
      char text[64];

      format_device_rule (rule, text, sizeof text);
      if (write (allow, text, strlen (text)) < 0)
        return ts_fail (res, errno, "set cgroup limit", "%s of \"%s\" to %s", file, path, text);
    }
  return 0;
}

static int
set_devices_v1 (int fd, const char *path, const struct ts_cgroup_limits *limits, struct ts_result *res)
{
  int err = write_limit (fd, path, "devices.deny", "a", res);

  (void) limits;
  return err < 0 ? err : allow_devices (fd, path, res);
}

static int
set_devices_v2 (int fd, const char *path, const struct ts_cgroup_limits *limits, struct ts_result *res)
{
  int err = attach_device_filter (fd);

  (void) limits;
  return err < 0 ? ts_fail (res, -err, "attach device filter", "\"%s\"", path) : 0;
}

static bool
wants_cpu (const struct ts_cgroup_limits *limits)
{
  return limits->cpu_shares >= 0 || limits->cpu_quota_us >= 0;
}

static bool
wants_cpuset (const struct ts_cgroup_limits *limits)
{
  return limits->cpuset_cpus || limits->cpuset_mems;
}

static bool
wants_memory (const struct ts_cgroup_limits *limits)
{
  return limits->memory_bytes >= 0 || limits->swap_bytes >= 0;
}

static bool
wants_pids (const struct ts_cgroup_limits *limits)
{
  return limits->pids >= 0;
}

static bool
wants_io (const struct ts_cgroup_limits *limits)
{
  return limits->io_weight >= 0 || limits->io_count > 0;
}

static bool
wants_hugepages (const struct ts_cgroup_limits *limits)
{
  return limits->hugepage_count > 0;
}

static bool
wants_devices (const struct ts_cgroup_limits *limits)
{
  return limits->default_devices;
}

typedef int (*set_limits) (int fd, const char *path, const struct ts_cgroup_limits *limits, struct ts_result *res);

static const struct limit_kind
{
  bool (*wanted) (const struct ts_cgroup_limits *limits);
  unsigned controller;
  const char *name_v1;
  set_limits set_v1;
  const char *name_v2; /* NULL: it takes no controller there */
  set_limits set_v2;
} kinds[] = {
  { wants_cpu, CONTROLLER_CPU, "cpu", set_cpu_v1, "cpu", set_cpu_v2 },
  { wants_cpuset, CONTROLLER_CPUSET, "cpuset", set_cpuset, "cpuset", set_cpuset },
  { wants_memory, CONTROLLER_MEMORY, "memory", set_memory_v1, "memory", set_memory_v2 },
  { wants_pids, CONTROLLER_PIDS, "pids", set_pids, "pids", set_pids },
  { wants_io, CONTROLLER_IO, "blkio", set_io_v1, "io", set_io_v2 },
  { wants_hugepages, CONTROLLER_HUGETLB, "hugetlb", set_hugepages_v1, "hugetlb", set_hugepages_v2 },
  { wants_devices, CONTROLLER_DEVICES, "devices", set_devices_v1, NULL, set_devices_v2 },
};

/* The cgroup's folder in the hierarchy that has the controller; in v2 its parent must have passed it down. */
static int
open_limits (const struct ts_cgroups *cgroups, const char *path, const struct limit_kind *kind, struct ts_result *res)
{
  bool unified = cgroups->layout.unified;
  const char *name = unified ? kind->name_v2 : kind->name_v1;
  int index = unified && !name ? 0 : hierarchy_of (cgroups, kind->controller);
  int fd;

  if (index < 0)
    return ts_fail (res, EOPNOTSUPP, "set cgroup limit", "the %s controller is not available", name);
  fd = open_cgroup_at (cgroups, index, path);
  if (fd < 0)
    return ts_fail (res, -fd, "open cgroup", "\"%s\" in %s", path, cgroups->layout.hierarchies[index].mount);
  return fd;
}

int
apply_cgroup_limits (const struct ts_cgroups *cgroups, const char *path, const struct ts_cgroup_limits *limits,
                     struct ts_result *res)
{
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
    {
      cleanup_close int fd = -1;
      int err;

      if (!kinds[i].wanted (limits))
        continue;
      fd = open_limits (cgroups, path, &kinds[i], res);
      if (fd < 0)
        return fd;
      err = (cgroups->layout.unified ? kinds[i].set_v2 : kinds[i].set_v1) (fd, path, limits, res);
      if (err < 0)
        return err;
    }
  return 0;
}

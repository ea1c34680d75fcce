/* What the cgroup files share. */
#ifndef TS_CGROUP_H
#define TS_CGROUP_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "lib/result.h"

enum cgroup_controller
{
  CONTROLLER_CPU = 1 << 0,
  CONTROLLER_CPUACCT = 1 << 1,
  CONTROLLER_CPUSET = 1 << 2,
  CONTROLLER_MEMORY = 1 << 3,
  CONTROLLER_PIDS = 1 << 4,
  CONTROLLER_FREEZER = 1 << 5,
  CONTROLLER_DEVICES = 1 << 6,
  CONTROLLER_IO = 1 << 7, /* "blkio" in v1 */
  CONTROLLER_HUGETLB = 1 << 8,
};

enum
{
  MAX_HIERARCHIES = 14
};

struct cgroup_hierarchy
{
  unsigned controllers;
  bool needs_nothing;   /* a new cgroup in it can be used as it is made */
  char mount[PATH_MAX]; /* where its root is mounted */
};

/* The hierarchies of one mount namespace: several of v1, or the one of v2. Beside those of v1, and behind them
   in the array, lie those without controllers in which a service manager keeps its processes: systemd's named
   one, and a cgroup2 (https://systemd.io/CGROUP_DELEGATION, "legacy" and "hybrid"). */
struct cgroup_layout
{
  bool unified;
  int count;
  int bare_count;
  struct cgroup_hierarchy hierarchies[MAX_HIERARCHIES];
};

struct ts_cgroups
{
  struct cgroup_layout layout;
  char root[NAME_MAX * 4];
  int root_fds[MAX_HIERARCHIES];
};

/* Reads the text of /proc/self/mountinfo. v1 wins where it holds the memory controller: a cgroup2 mount
   beside it has no controllers of use. Returns 0, or -ENOENT when there is neither. */
int parse_cgroup_mounts (const char *mountinfo, struct cgroup_layout *layout);

/* Relative, no empty, "." or ".." component; "" only if `allow_root`. */
bool is_cgroup_path (const char *path, bool allow_root);

/* v1 cpu.shares to v2 cpu.weight, so that the default 1024 becomes the default 100. */
int64_t weight_of_shares (int64_t shares);

/* Folder of the hierarchy that has the controller, or -1 when none has. */
int hierarchy_of (const struct ts_cgroups *cgroups, unsigned controller);

/* Opens the cgroup in hierarchy `index`, or returns -errno. */
int open_cgroup_at (const struct ts_cgroups *cgroups, int index, const char *path);

/* Writes text to a file of the cgroup; returns 0 or -errno. */
int write_cgroup_file (int dirfd, const char *file, const char *text);

/* Reads a file of the cgroup as text; returns its length or -errno. */
int read_cgroup_file (int dirfd, const char *file, char *text, size_t size);

/* The number in a file of the cgroup, or -1. */
int64_t read_cgroup_number (int dirfd, const char *file);

/* The number behind "key " at the start of a line, or -1. */
int64_t cgroup_value_of_key (const char *text, const char *key);

/* Renames the v1 memory cgroup of a pod that has ended, or whatever is right below the root, so that
   ts_cgroups_remove_ended finds it. Returns 0, also when there is none, -EBUSY when something still is in it, or
   -errno. */
int set_ended_cgroup_aside (struct ts_cgroups *cgroups, int index, const char *path);

/* Whether the child of the root was set aside: it is no pod's any more. */
bool is_ended_cgroup (const char *name);

/* Sets the limits of an existing cgroup. */
int apply_cgroup_limits (const struct ts_cgroups *cgroups, const char *path, const struct ts_cgroup_limits *limits,
                         struct ts_result *res);

#endif

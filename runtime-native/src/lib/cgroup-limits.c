/* Limits of a cgroup as v1 and v2 spell them. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/cgroup.h"
#include "lib/cleanup.h"
#include "lib/device-filter.h"

static int
write_limit (int dirfd, const char *path, const char *file, const char *text, struct ts_result *res)
{
  int err = write_cgroup_file (dirfd, file, text);

  if (err < 0)
    return ts_fail (res, -err, "set cgroup limit", "%s of \"%s\" to %s", file, path, text);
  return 0;
}

static int
write_number (int dirfd, const char *path, const char *file, int64_t value, struct ts_result *res)
{
  char text[32];

  snprintf (text, sizeof text, "%" PRId64, value);
  return write_limit (dirfd, path, file, text, res);
}

/* The order matters when limits change: the swap limit may never be below the memory limit. */
static int
set_memory_v1 (int fd, const char *path, int64_t bytes, struct ts_result *res)
{
  char text[32];
  int err;

  snprintf (text, sizeof text, "%" PRId64, bytes);
  if (write_cgroup_file (fd, "memory.limit_in_bytes", text) == 0)
    {
      err = write_cgroup_file (fd, "memory.memsw.limit_in_bytes", text);
      /* The file is absent when the kernel does not account swap. */
      if (err < 0 && err != -ENOENT && err != -EACCES)
        return ts_fail (res, -err, "set cgroup limit", "memory.memsw.limit_in_bytes of \"%s\" to %s", path, text);
      return 0;
    }
  /* Raising beyond the swap limit is refused (EINVAL): first that one, then again. */
  write_cgroup_file (fd, "memory.memsw.limit_in_bytes", text);
  return write_limit (fd, path, "memory.limit_in_bytes", text, res);
}

static int
set_cpu_v1 (int fd, const char *path, const struct ts_cgroup_limits *limits, struct ts_result *res)
{
  int err = 0;

  if (limits->cpu_shares >= 0)
    err = write_number (fd, path, "cpu.shares", limits->cpu_shares, res);
  if (err == 0 && limits->cpu_quota_us >= 0)
    err = write_number (fd, path, "cpu.cfs_period_us", limits->cpu_period_us > 0 ? limits->cpu_period_us : 100000, res);
  if (err == 0 && limits->cpu_quota_us >= 0)
    err = write_number (fd, path, "cpu.cfs_quota_us", limits->cpu_quota_us > 0 ? limits->cpu_quota_us : -1, res);
  return err;
}

static int
set_devices_v1 (int fd, const char *path, struct ts_result *res)
{
  int err = write_limit (fd, path, "devices.deny", "a", res);

  for (const struct device_rule *rule = default_device_rules; err == 0 && rule->type; rule++)
    {
      char text[64];

      format_device_rule (rule, text, sizeof text);
      err = write_limit (fd, path, "devices.allow", text, res);
    }
  return err;
}

/* Opens the cgroup in the hierarchy of a controller that a wanted limit needs. */
static int
open_controller (const struct ts_cgroups *cgroups, const char *path, unsigned controller, const char *name,
                 struct ts_result *res)
{
  int index = hierarchy_of (cgroups, controller);
  int fd;

  if (index < 0)
    return ts_fail (res, EOPNOTSUPP, "set cgroup limit", "the %s controller is not available", name);
  fd = open_cgroup_at (cgroups, index, path);
  if (fd < 0)
    return ts_fail (res, -fd, "open cgroup", "\"%s\" of the %s controller", path, name);
  return fd;
}

static int
apply_v1 (const struct ts_cgroups *cgroups, const char *path, const struct ts_cgroup_limits *limits,
          struct ts_result *res)
{
  int err = 0;

  if (limits->cpu_shares >= 0 || limits->cpu_quota_us >= 0)
    {
      cleanup_close int fd = open_controller (cgroups, path, CONTROLLER_CPU, "cpu", res);

      err = fd < 0 ? fd : set_cpu_v1 (fd, path, limits, res);
    }
  if (err == 0 && limits->memory_bytes >= 0)
    {
      cleanup_close int fd = open_controller (cgroups, path, CONTROLLER_MEMORY, "memory", res);

      err = fd < 0 ? fd : set_memory_v1 (fd, path, limits->memory_bytes, res);
    }
  if (err == 0 && limits->pids >= 0)
    {
      cleanup_close int fd = open_controller (cgroups, path, CONTROLLER_PIDS, "pids", res);

      err = fd < 0 ? fd : write_number (fd, path, "pids.max", limits->pids, res);
    }
  if (err == 0 && limits->default_devices)
    {
      cleanup_close int fd = open_controller (cgroups, path, CONTROLLER_DEVICES, "devices", res);

      err = fd < 0 ? fd : set_devices_v1 (fd, path, res);
    }
  return err;
}

/* v2: a wanted limit's controller has no files here when it was not passed down. */
static int
need_controller (const struct ts_cgroups *cgroups, unsigned controller, const char *name, struct ts_result *res)
{
  if (cgroups->layout.hierarchies[0].controllers & controller)
    return 0;
  return ts_fail (res, EOPNOTSUPP, "set cgroup limit", "the %s controller is not available", name);
}

static int
set_cpu_v2 (int fd, const char *path, const struct ts_cgroup_limits *limits, struct ts_result *res)
{
  int64_t period = limits->cpu_period_us > 0 ? limits->cpu_period_us : 100000;
  char text[64];
  int err = 0;

  if (limits->cpu_shares >= 0)
    err = write_number (fd, path, "cpu.weight", weight_of_shares (limits->cpu_shares), res);
  if (err < 0 || limits->cpu_quota_us < 0)
    return err;
  if (limits->cpu_quota_us > 0)
    snprintf (text, sizeof text, "%" PRId64 " %" PRId64, limits->cpu_quota_us, period);
  else
    snprintf (text, sizeof text, "max %" PRId64, period);
  return write_limit (fd, path, "cpu.max", text, res);
}

static int
set_memory_v2 (int fd, const char *path, int64_t bytes, struct ts_result *res)
{
  int err = write_number (fd, path, "memory.max", bytes, res);
  int swap;

  if (err < 0)
    return err;
  swap = write_cgroup_file (fd, "memory.swap.max", "0");
  /* The file is absent when the kernel does not account swap. */
  if (swap < 0 && swap != -ENOENT)
    return ts_fail (res, -swap, "set cgroup limit", "memory.swap.max of \"%s\" to 0", path);
  return 0;
}

static int
apply_v2 (const struct ts_cgroups *cgroups, const char *path, const struct ts_cgroup_limits *limits,
          struct ts_result *res)
{
  cleanup_close int fd = open_cgroup_at (cgroups, 0, path);
  int err = 0;

  if (fd < 0)
    return ts_fail (res, -fd, "open cgroup", "\"%s\"", path);
  if (limits->cpu_shares >= 0 || limits->cpu_quota_us >= 0)
    {
      err = need_controller (cgroups, CONTROLLER_CPU, "cpu", res);
      err = err < 0 ? err : set_cpu_v2 (fd, path, limits, res);
    }
  if (err == 0 && limits->memory_bytes >= 0)
    {
      err = need_controller (cgroups, CONTROLLER_MEMORY, "memory", res);
      err = err < 0 ? err : set_memory_v2 (fd, path, limits->memory_bytes, res);
    }
  if (err == 0 && limits->pids >= 0)
    {
      err = need_controller (cgroups, CONTROLLER_PIDS, "pids", res);
      err = err < 0 ? err : write_number (fd, path, "pids.max", limits->pids, res);
    }
  if (err == 0 && limits->default_devices)
    {
      err = attach_device_filter (fd);
      if (err < 0)
        err = ts_fail (res, -err, "attach device filter", "\"%s\"", path);
    }
  return err;
}

int
apply_cgroup_limits (const struct ts_cgroups *cgroups, const char *path, const struct ts_cgroup_limits *limits,
                     struct ts_result *res)
{
  return cgroups->layout.unified ? apply_v2 (cgroups, path, limits, res) : apply_v1 (cgroups, path, limits, res);
}

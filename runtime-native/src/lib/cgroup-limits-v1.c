/* CPU, memory, I/O and huge pages by cgroup v1. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/cgroup-limits.h"

int
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

/* v1 counts memory and swap in one sum. */
static int
set_memory_and_swap (int fd, const char *path, int64_t memory, int64_t swap, struct ts_result *res)
{
  static const char file[] = "memory.memsw.limit_in_bytes";
  char text[32];
  int err;

  snprintf (text, sizeof text, "%" PRId64, memory + swap);
  err = write_cgroup_file (fd, file, text);
  if (err == 0)
    return 0;
  /* The file is absent when the kernel does not account swap: then there is mostly none, and nothing to allow. */
  if (err != -ENOENT && err != -EACCES)
    return ts_fail (res, -err, "set cgroup limit", "%s of \"%s\" to %s", file, path, text);
  return swap == 0 ? 0
                   : ts_fail (res, EOPNOTSUPP, "set cgroup limit",
                              "swap of \"%s\": the kernel does not count it (swapaccount=1)", path);
}

/* The order matters when limits change: the sum may never be below the memory limit. */
int
set_memory_v1 (int fd, const char *path, const struct ts_cgroup_limits *limits, struct ts_result *res)
{
  int64_t swap = limits->swap_bytes > 0 ? limits->swap_bytes : 0;
  char text[32];
  int err;

  if (limits->memory_bytes < 0)
    return swap == 0 ? 0
                     : ts_fail (res, EINVAL, "set cgroup limit",
                                "swap of \"%s\": cgroup v1 limits it only along with memory", path);
  snprintf (text, sizeof text, "%" PRId64, limits->memory_bytes);
  if (write_cgroup_file (fd, "memory.limit_in_bytes", text) == 0)
    return set_memory_and_swap (fd, path, limits->memory_bytes, swap, res);
  /* Raising beyond the sum is refused (EINVAL): first that one, then again. */
  err = set_memory_and_swap (fd, path, limits->memory_bytes, swap, res);
  return err < 0 ? err : write_limit (fd, path, "memory.limit_in_bytes", text, res);
}

static int
set_io_weight_v1 (int fd, const char *path, int32_t weight, struct ts_result *res)
{
  /* Which of the two there is depends on the I/O scheduler that was built in: BFQ, or CFQ before Linux 5.0. */
  static const char *const files[] = { "blkio.bfq.weight", "blkio.weight" };

  for (int i = 0; i < 2; i++)
    if (faccessat (fd, files[i], F_OK, 0) == 0)
      return write_number (fd, path, files[i], weight, res);
  return ts_fail (res, EOPNOTSUPP, "set cgroup limit",
                  "I/O weight of \"%s\": the kernel has no I/O scheduler with weights (BFQ)", path);
}

static int
set_throttle_v1 (int fd, const char *path, const char *file, const struct ts_io_limit *limit, int64_t value,
                 struct ts_result *res)
{
  char text[64];

  if (value < 0)
    return 0;
  snprintf (text, sizeof text, "%" PRIu32 ":%" PRIu32 " %" PRId64, limit->major, limit->minor, value);
  return write_limit (fd, path, file, text, res);
}

int
set_io_v1 (int fd, const char *path, const struct ts_cgroup_limits *limits, struct ts_result *res)
{
  int err = limits->io_weight >= 0 ? set_io_weight_v1 (fd, path, limits->io_weight, res) : 0;

  for (uint32_t i = 0; err == 0 && i < limits->io_count; i++)
    {
      const struct ts_io_limit *limit = &limits->io[i];

      err = set_throttle_v1 (fd, path, "blkio.throttle.read_bps_device", limit, limit->read_bps, res);
      if (err == 0)
        err = set_throttle_v1 (fd, path, "blkio.throttle.write_bps_device", limit, limit->write_bps, res);
      if (err == 0)
        err = set_throttle_v1 (fd, path, "blkio.throttle.read_iops_device", limit, limit->read_iops, res);
      if (err == 0)
        err = set_throttle_v1 (fd, path, "blkio.throttle.write_iops_device", limit, limit->write_iops, res);
    }
  return err;
}

int
set_hugepages_v1 (int fd, const char *path, const struct ts_cgroup_limits *limits, struct ts_result *res)
{
  int err = 0;

  for (uint32_t i = 0; err == 0 && i < limits->hugepage_count; i++)
    {
      char size[16], file[64];

      format_page_size (limits->hugepages[i].page_bytes, size, sizeof size);
      snprintf (file, sizeof file, "hugetlb.%s.limit_in_bytes", size);
      err = write_number (fd, path, file, limits->hugepages[i].limit_bytes, res);
    }
  return err;
}

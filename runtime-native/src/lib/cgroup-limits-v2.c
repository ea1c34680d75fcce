/* CPU, memory, I/O and huge pages by cgroup v2. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/cgroup-limits.h"

int
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

int
set_memory_v2 (int fd, const char *path, const struct ts_cgroup_limits *limits, struct ts_result *res)
{
  int64_t swap = limits->swap_bytes > 0 ? limits->swap_bytes : 0;
  char text[32];
  int err = limits->memory_bytes >= 0 ? write_number (fd, path, "memory.max", limits->memory_bytes, res) : 0;

  if (err < 0)
    return err;
  snprintf (text, sizeof text, "%" PRId64, swap);
  err = write_cgroup_file (fd, "memory.swap.max", text);
  /* The file is absent when the kernel does not account swap: then there is mostly none, and nothing to allow. */
  if (err == -ENOENT)
    return swap == 0 ? 0
                     : ts_fail (res, EOPNOTSUPP, "set cgroup limit",
                                "swap of \"%s\": the kernel does not count it (swapaccount=1)", path);
  return err < 0 ? ts_fail (res, -err, "set cgroup limit", "memory.swap.max of \"%s\" to %s", path, text) : 0;
}

/* BFQ's weights are those of v1; the kernel's own (io.cost) go from 1 to 10000 with 100 in the middle. */
static int
set_io_weight_v2 (int fd, const char *path, int32_t weight, struct ts_result *res)
{
  if (faccessat (fd, "io.bfq.weight", F_OK, 0) == 0)
    return write_number (fd, path, "io.bfq.weight", weight, res);
  if (faccessat (fd, "io.weight", F_OK, 0) == 0)
    return write_number (fd, path, "io.weight", weight <= 10 ? 1 : 1 + (weight - 10) * 9999L / 990, res);
  return ts_fail (res, EOPNOTSUPP, "set cgroup limit", "I/O weight of \"%s\": the kernel has neither BFQ nor io.cost",
                  path);
}

static int
append_throttle (char *text, size_t size, int used, const char *key, int64_t value)
{
  return value < 0 ? used : used + snprintf (text + used, size - (size_t) used, " %s=%" PRId64, key, value);
}

int
set_io_v2 (int fd, const char *path, const struct ts_cgroup_limits *limits, struct ts_result *res)
{
  int err = limits->io_weight >= 0 ? set_io_weight_v2 (fd, path, limits->io_weight, res) : 0;

  for (uint32_t i = 0; err == 0 && i < limits->io_count; i++)
    {
      const struct ts_io_limit *limit = &limits->io[i];
      char text[160];
      int used = snprintf (text, sizeof text, "%" PRIu32 ":%" PRIu32, limit->major, limit->minor);

      used = append_throttle (text, sizeof text, used, "rbps", limit->read_bps);
      used = append_throttle (text, sizeof text, used, "wbps", limit->write_bps);
      used = append_throttle (text, sizeof text, used, "riops", limit->read_iops);
      append_throttle (text, sizeof text, used, "wiops", limit->write_iops);
      err = write_limit (fd, path, "io.max", text, res);
    }
  return err;
}

int
set_hugepages_v2 (int fd, const char *path, const struct ts_cgroup_limits *limits, struct ts_result *res)
{
  int err = 0;

  for (uint32_t i = 0; err == 0 && i < limits->hugepage_count; i++)
    {
      char size[16], file[64];

      format_page_size (limits->hugepages[i].page_bytes, size, sizeof size);
      snprintf (file, sizeof file, "hugetlb.%s.max", size);
      err = write_number (fd, path, file, limits->hugepages[i].limit_bytes, res);
    }
  return err;
}

/* Which files of a cgroup get which limits: on a folder with plain files of these names, since not every machine has
   the controllers. */
#include <errno.h>
#include <fcntl.h>
#include <string.h>

#include "lib/cgroup.h"
#include "lib/cleanup.h"
#include "test/check.h"

static const struct ts_cgroup_limits no_limits = {
  .cpu_shares = -1,
  .cpu_quota_us = -1,
  .cpu_period_us = -1,
  .memory_bytes = -1,
  .swap_bytes = -1,
  .pids = -1,
  .io_weight = -1,
};
static const char *const files[] = {
  "cpu.weight",
  "cpu.max",
  "cpuset.cpus",
  "cpuset.mems",
  "memory.max",
  "memory.swap.max",
  "pids.max",
  "io.weight",
  "io.max",
  "hugetlb.2MB.max",
  "hugetlb.1GB.max",
  "memory.limit_in_bytes",
  "memory.memsw.limit_in_bytes",
  "blkio.bfq.weight",
  "blkio.throttle.read_bps_device",
  "blkio.throttle.write_bps_device",
  "blkio.throttle.read_iops_device",
  "blkio.throttle.write_iops_device",
  "hugetlb.64KB.limit_in_bytes",
};

/* Read 1 MiB/s and write 10 times per second of device 8:16. */
static const struct ts_io_limit disk
    = { .major = 8, .minor = 16, .read_bps = 1 << 20, .write_bps = -1, .read_iops = -1, .write_iops = 10 };

static void
empty_files (int folder)
{
  for (size_t i = 0; i < sizeof files / sizeof *files; i++)
    close (openat (folder, files[i], O_WRONLY | O_CREAT | O_TRUNC, 0600));
}

static const char *
content (int folder, const char *file)
{
  static char text[64];

  CHECK (read_cgroup_file (folder, file, text, sizeof text) >= 0);
  return text;
}

static void
test_values (struct ts_cgroups *cgroups, int folder)
{
  struct ts_cgroup_limits limits = no_limits;
  struct ts_result res;

  CHECK (apply_cgroup_limits (cgroups, "", &limits, &res) == 0);
  for (size_t i = 0; i < sizeof files / sizeof *files; i++)
    CHECK_TEXT (content (folder, files[i]), "");
  limits = (struct ts_cgroup_limits){ .cpu_shares = 1024,
                                      .cpu_quota_us = 50000,
                                      .cpu_period_us = -1,
                                      .memory_bytes = 1 << 20,
                                      .swap_bytes = -1,
                                      .io_weight = -1,
                                      .pids = 7 };
  CHECK (apply_cgroup_limits (cgroups, "", &limits, &res) == 0);
  CHECK_TEXT (content (folder, "cpu.weight"), "100");
  CHECK_TEXT (content (folder, "cpu.max"), "50000 100000");
  CHECK_TEXT (content (folder, "memory.max"), "1048576");
  CHECK_TEXT (content (folder, "memory.swap.max"), "0");
  CHECK_TEXT (content (folder, "pids.max"), "7");
  empty_files (folder);
  limits = no_limits;
  limits.cpu_quota_us = 0;
  limits.cpu_period_us = 20000;
  CHECK (apply_cgroup_limits (cgroups, "", &limits, &res) == 0);
  CHECK_TEXT (content (folder, "cpu.max"), "max 20000");
  CHECK_TEXT (content (folder, "cpu.weight"), "");
}

static void
test_swap_cpuset_io_and_hugepages (struct ts_cgroups *cgroups, int folder)
{
  const struct ts_hugepage_limit pages[]
      = { { .page_bytes = 2 << 20, .limit_bytes = 4 << 20 }, { .page_bytes = 1 << 30, .limit_bytes = 0 } };
  struct ts_cgroup_limits limits = no_limits;
  struct ts_result res;

  empty_files (folder);
  limits.swap_bytes = 8192;
  limits.cpuset_cpus = "0-2,5";
  limits.cpuset_mems = "0";
  limits.io = &disk;
  limits.io_count = 1;
  limits.io_weight = 1000;
  limits.hugepages = pages;
  limits.hugepage_count = 2;
  CHECK (apply_cgroup_limits (cgroups, "", &limits, &res) == 0);
  CHECK_TEXT (content (folder, "memory.max"), "");
  CHECK_TEXT (content (folder, "memory.swap.max"), "8192");
  CHECK_TEXT (content (folder, "cpuset.cpus"), "0-2,5");
  CHECK_TEXT (content (folder, "cpuset.mems"), "0");
  CHECK_TEXT (content (folder, "io.max"), "8:16 rbps=1048576 wiops=10");
  CHECK_TEXT (content (folder, "io.weight"), "10000");
  CHECK_TEXT (content (folder, "hugetlb.2MB.max"), "4194304");
  CHECK_TEXT (content (folder, "hugetlb.1GB.max"), "0");
}

/* A kernel that cannot do it is told apart from one that need not. */
static void
test_absent_files (struct ts_cgroups *cgroups, int folder)
{
  struct ts_cgroup_limits limits = no_limits;
  struct ts_result res;

  unlinkat (folder, "memory.swap.max", 0);
  unlinkat (folder, "io.weight", 0);
  limits.memory_bytes = 1 << 20;
  CHECK (apply_cgroup_limits (cgroups, "", &limits, &res) == 0);
  limits.swap_bytes = 4096;
  CHECK (apply_cgroup_limits (cgroups, "", &limits, &res) == -EOPNOTSUPP);
  CHECK (strstr (res.message, "the kernel does not count it"));
  limits = no_limits;
  limits.io_weight = 100;
  CHECK (apply_cgroup_limits (cgroups, "", &limits, &res) == -EOPNOTSUPP);
  CHECK (strstr (res.message, "neither BFQ nor io.cost"));
}

static void
test_v1 (struct ts_cgroups *cgroups, int folder)
{
  const struct ts_hugepage_limit pages = { .page_bytes = 64 << 10, .limit_bytes = 128 << 10 };
  struct ts_cgroup_limits limits = no_limits;
  struct ts_result res;

  empty_files (folder);
  limits.memory_bytes = 1 << 20;
  limits.io = &disk;
  limits.io_count = 1;
  limits.io_weight = 300;
  limits.hugepages = &pages;
  limits.hugepage_count = 1;
  CHECK (apply_cgroup_limits (cgroups, "", &limits, &res) == 0);
  CHECK_TEXT (content (folder, "memory.limit_in_bytes"), "1048576");
  CHECK_TEXT (content (folder, "memory.memsw.limit_in_bytes"), "1048576");
  CHECK_TEXT (content (folder, "blkio.bfq.weight"), "300");
  CHECK_TEXT (content (folder, "blkio.throttle.read_bps_device"), "8:16 1048576");
  CHECK_TEXT (content (folder, "blkio.throttle.write_bps_device"), "");
  CHECK_TEXT (content (folder, "blkio.throttle.write_iops_device"), "8:16 10");
  CHECK_TEXT (content (folder, "hugetlb.64KB.limit_in_bytes"), "131072");
  empty_files (folder);
  limits = no_limits;
  limits.memory_bytes = 1 << 20;
  limits.swap_bytes = 1 << 20;
  CHECK (apply_cgroup_limits (cgroups, "", &limits, &res) == 0);
  CHECK_TEXT (content (folder, "memory.memsw.limit_in_bytes"), "2097152");
  limits.memory_bytes = -1;
  CHECK (apply_cgroup_limits (cgroups, "", &limits, &res) == -EINVAL);
  CHECK (strstr (res.message, "only along with memory"));
}

static void
test_absent_controllers (struct ts_cgroups *cgroups)
{
  struct ts_cgroup_limits limits = no_limits;
  struct ts_result res;

  limits.memory_bytes = 1 << 20;
  cgroups->layout.hierarchies[0].controllers = CONTROLLER_CPU;
  CHECK (apply_cgroup_limits (cgroups, "", &limits, &res) == -EOPNOTSUPP);
  CHECK_TEXT (res.step, "set cgroup limit");
  CHECK_TEXT (res.message, "the memory controller is not available: Operation not supported");
  CHECK (res.error == EOPNOTSUPP);
}

int
main (void)
{
  struct ts_cgroups cgroups = { .layout = { .unified = true, .count = 1 } };
  char path[] = "/tmp/tessera-limits-XXXXXX", command[64];
  cleanup_close int folder = -1;

  CHECK (mkdtemp (path));
  folder = open (path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  cgroups.root_fds[0] = folder;
  cgroups.layout.hierarchies[0].controllers = -1U;
  empty_files (folder);
  test_values (&cgroups, folder);
  test_swap_cpuset_io_and_hugepages (&cgroups, folder);
  test_absent_files (&cgroups, folder);
  cgroups.layout.unified = false;
  test_v1 (&cgroups, folder);
  cgroups.layout.unified = true;
  test_absent_controllers (&cgroups);
  snprintf (command, sizeof command, "rm -r %s", path);
  return system (command);
}

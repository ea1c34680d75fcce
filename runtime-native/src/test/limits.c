/* Which files of a cgroup v2 get which limits: on a folder with plain files of these names, since not every machine
   has the controllers. */
#include <errno.h>
#include <fcntl.h>

#include "lib/cgroup.h"
#include "lib/cleanup.h"
#include "test/check.h"

static const struct ts_cgroup_limits no_limits = {
  .cpu_shares = -1,
  .cpu_quota_us = -1,
  .cpu_period_us = -1,
  .memory_bytes = -1,
  .pids = -1,
};
static const char *const files[] = { "cpu.weight", "cpu.max", "memory.max", "memory.swap.max", "pids.max" };

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
  limits = (struct ts_cgroup_limits){
    .cpu_shares = 1024, .cpu_quota_us = 50000, .cpu_period_us = -1, .memory_bytes = 1 << 20, .pids = 7
  };
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
  cgroups.layout.hierarchies[0].controllers = CONTROLLER_CPU | CONTROLLER_MEMORY | CONTROLLER_PIDS;
  empty_files (folder);
  test_values (&cgroups, folder);
  test_absent_controllers (&cgroups);
  snprintf (command, sizeof command, "rm -r %s", path);
  return system (command);
}

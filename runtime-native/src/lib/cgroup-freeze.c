/* Pausing what runs in a cgroup. A v1 task sleeps where not even SIGKILL wakes it until it is thawed; a v2 one can be
   killed. In both, a process that joins a frozen cgroup stops there. */
#include <errno.h>
#include <string.h>

#include "lib/cgroup.h"
#include "lib/cleanup.h"

/* Both versions' files: what is written, and what says how far it has come. */
struct freezer
{
  int fd; /* the cgroup's folder */
  const char *file;
  const char *words[2]; /* to thaw, to freeze */
  const char *state_file;
  const char *states[2];
  const char *wanted_file; /* says what was asked for */
  const char *wanted;
};

static const struct freezer freezer_v1 = {
  .file = "freezer.state",
  .words = { "THAWED", "FROZEN" },
  .state_file = "freezer.state",
  .states = { "THAWED\n", "FROZEN\n" },
  .wanted_file = "freezer.self_freezing",
  .wanted = "1\n",
};

static const struct freezer freezer_v2 = {
  .file = "cgroup.freeze",
  .words = { "0", "1" },
  .state_file = "cgroup.events",
  .states = { "frozen 0\n", "frozen 1\n" },
  .wanted_file = "cgroup.freeze",
  .wanted = "1\n",
};

static int
open_freezer (struct ts_cgroups *cgroups, const char *path, const char *step, struct freezer *freezer,
              struct ts_result *res)
{
  int index = cgroups->layout.unified ? 0 : hierarchy_of (cgroups, CONTROLLER_FREEZER);

  if (!is_cgroup_path (path, false))
    return ts_fail (res, EINVAL, step, "\"%s\"", path);
  if (index < 0)
    return ts_fail (res, EOPNOTSUPP, step, "the freezer controller is not available");
  *freezer = cgroups->layout.unified ? freezer_v2 : freezer_v1;
  freezer->fd = open_cgroup_at (cgroups, index, path);
  return freezer->fd < 0 ? ts_fail (res, -freezer->fd, step, "%s", path) : 0;
}

int
ts_cgroup_freeze (struct ts_cgroups *cgroups, const char *path, int32_t freeze, uint32_t *left, struct ts_result *res)
{
  static const char *const steps[] = { "thaw cgroup", "freeze cgroup" };
  int which = freeze ? 1 : 0;
  struct freezer freezer;
  char text[256];
  int err = open_freezer (cgroups, path, steps[which], &freezer, res);
  cleanup_close int fd = err < 0 ? -1 : freezer.fd;

  if (err < 0)
    return err;
  err = write_cgroup_file (fd, freezer.file, freezer.words[which]);
  if (err == 0)
    err = read_cgroup_file (fd, freezer.state_file, text, sizeof text);
  if (err < 0)
    return ts_fail (res, -err, steps[which], "%s", path);
  *left = strstr (text, freezer.states[which]) ? 0 : 1;
  return 0;
}

int
ts_cgroup_is_frozen (struct ts_cgroups *cgroups, const char *path, int32_t *frozen, struct ts_result *res)
{
  struct freezer freezer;
  char text[32];
  int err = open_freezer (cgroups, path, "read freezer", &freezer, res);
  cleanup_close int fd = err < 0 ? -1 : freezer.fd;

  if (err < 0)
    return err;
  err = read_cgroup_file (fd, freezer.wanted_file, text, sizeof text);
  if (err < 0)
    return ts_fail (res, -err, "read freezer", "%s", path);
  *frozen = strcmp (text, freezer.wanted) == 0;
  return 0;
}

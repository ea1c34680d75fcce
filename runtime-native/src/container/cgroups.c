/* Joining the container's cgroups, and showing them to it read-only. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "container/mounts.h"
#include "container/setup.h"
#include "container/syscalls.h"
#include "lib/cleanup.h"

#define CGROUP2_MAGIC 0x63677270

/* On v1, writing "0" to "tasks" moves only the writer and takes no lock that waits for readers: 0.03 ms, where
   "cgroup.procs" waits 7 to 15 ms for a grace period. v2 has no such file. `folder` is relative to `at`, or "". */
static int
open_members (int at, const char *folder)
{
  char path[PATH_MAX];
  const char *slash = *folder ? "/" : "";
  int fd;

  if (snprintf (path, sizeof path, "%s%stasks", folder, slash) >= (int) sizeof path)
    return -ENAMETOOLONG;
  fd = openat (at, path, O_WRONLY | O_CLOEXEC);
  if (fd < 0 && errno == ENOENT && snprintf (path, sizeof path, "%s%scgroup.procs", folder, slash) < (int) sizeof path)
    fd = openat (at, path, O_WRONLY | O_CLOEXEC);
  return fd < 0 ? -errno : fd;
}

static int
join_cgroup (int at, const char *folder, const char *name, struct ts_failure *failure)
{
  cleanup_close int fd = open_members (at, folder);

  if (fd < 0)
    return ts_fail (failure, -fd, "open cgroup", "%s", name);
  return write (fd, "0", 1) == 1 ? 0 : ts_fail (failure, errno, "join cgroup", "%s", name);
}

int
ts_join_cgroups (char *const *dirs, struct ts_failure *failure)
{
  int err = 0;

  for (; err == 0 && *dirs; dirs++)
    err = join_cgroup (AT_FDCWD, *dirs, *dirs, failure);
  return err;
}

/* The folders stay open: they are mounted later. */
int
ts_enter_cgroups (struct ts_setup *setup)
{
  char *const *dirs = setup->spec->cgroup_dirs;
  int err = 0;

  for (size_t i = 0; err == 0 && dirs[i]; i++)
    {
      if (i == TS_MAX_CGROUPS)
        return ts_fail (setup->failure, E2BIG, "open cgroup", "%s", dirs[i]);
      setup->cgroups[i] = sys_open (dirs[i], O_PATH | O_DIRECTORY);
      if (setup->cgroups[i] < 0)
        return ts_fail (setup->failure, errno, "open cgroup", "%s", dirs[i]);
      err = join_cgroup (setup->cgroups[i], "", dirs[i], setup->failure);
    }
  return err;
}

/* Raising is always allowed; a lower value than the node's own may not be. */
int
ts_set_oom_score (uint32_t value, struct ts_failure *failure)
{
  char text[16];
  int size = snprintf (text, sizeof text, "%u", (unsigned) value);
  cleanup_close int fd = sys_open ("/proc/self/oom_score_adj", O_WRONLY);

  if (fd < 0 || (write (fd, text, (size_t) size) < 0 && errno != EACCES))
    return ts_fail (failure, errno, "set oom_score_adj", "%s", text);
  return 0;
}

/* What comes behind the mount of the hierarchy in "/sys/fs/cgroup/memory/tessera/pod1": the mount is the first part of
   the path on the same file system. */
static const char *
path_in_hierarchy (const char *dir, dev_t device)
{
  char path[PATH_MAX];
  struct stat part;

  for (size_t end = 1; dir[end - 1]; end++)
    {
      if (dir[end] != '/' && dir[end] != '\0')
        continue;
      snprintf (path, sizeof path, "%.*s", (int) end, dir);
      if (stat (path, &part) == 0 && part.st_dev == device)
        return dir + end;
    }
  return dir + strlen (dir);
}

/* "memory" of "/sys/fs/cgroup/memory/tessera/pod1", where the path in the hierarchy, the same in all, is known. */
static int
name_hierarchy (const char *dir, const char *path, char name[NAME_MAX + 1])
{
  size_t end = strlen (dir) - strlen (path);
  size_t start = end;

  while (start > 0 && dir[start - 1] != '/')
    start--;
  if (end - start > NAME_MAX)
    return -ENAMETOOLONG;
  snprintf (name, NAME_MAX + 1, "%.*s", (int) (end - start), dir + start);
  return 0;
}

static int
mount_hierarchy (struct ts_setup *setup, const char *dir, int source, int folder, const char *name)
{
  cleanup_close int tree = ts_clone_mount (source, 0, 0);

  if (tree < 0)
    return ts_fail (setup->failure, -tree, "clone cgroup", "%s", dir);
  if (mkdirat (folder, name, 0755) < 0 && errno != EEXIST)
    return ts_fail (setup->failure, errno, "make cgroup folder", "%s", name);
  if (sys_move_mount (tree, folder, name) < 0)
    return ts_fail (setup->failure, errno, "mount cgroup", "%s", dir);
  return 0;
}

/* v1: a folder with a cgroup for each hierarchy. */
static int
fill_folder (struct ts_setup *setup, int folder)
{
  char *const *dirs = setup->spec->cgroup_dirs;
  const char *path;
  struct stat found;
  int err = 0;

  if (fstat (setup->cgroups[0], &found) < 0)
    return ts_fail (setup->failure, errno, "look at cgroup", "%s", dirs[0]);
  path = path_in_hierarchy (dirs[0], found.st_dev);
  for (size_t i = 0; err == 0 && dirs[i]; i++)
    {
      char name[NAME_MAX + 1];

      err = name_hierarchy (dirs[i], path, name);
      err = err < 0 ? ts_fail (setup->failure, -err, "name cgroup", "%s", dirs[i])
                    : mount_hierarchy (setup, dirs[i], setup->cgroups[i], folder, name);
    }
  return err;
}

static bool
has_v2_alone (const struct ts_setup *setup)
{
  struct statfs fs;

  return !setup->spec->cgroup_dirs[1] && fstatfs (setup->cgroups[0], &fs) == 0 && fs.f_type == CGROUP2_MAGIC;
}

/* Returns the mount that all others are on, or -errno. */
static int
mount_on (struct ts_setup *setup, int target)
{
  bool alone = has_v2_alone (setup);
  cleanup_close int mounted = alone ? ts_clone_mount (setup->cgroups[0], 0, 0)
                                    : ts_clone_memory_folder (setup, "cgroup", 0755, MOUNT_ATTR_NOSUID);
  int err;

  if (mounted < 0)
    return alone ? ts_fail (setup->failure, -mounted, "clone cgroup", "%s", setup->spec->cgroup_dirs[0]) : mounted;
  if (sys_move_mount (mounted, target, "") < 0)
    return ts_fail (setup->failure, errno, "mount", "/sys/fs/cgroup");
  err = alone ? 0 : fill_folder (setup, mounted);
  return err < 0 ? err : steal_fd (&mounted);
}

/* /sys/fs/cgroup is the container's own cgroup: the v2 one, or a folder with one per v1 hierarchy. */
int
ts_mount_cgroups (struct ts_setup *setup)
{
  uint64_t attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC
                        | (setup->spec->security.privileged ? 0 : MOUNT_ATTR_RDONLY);
  cleanup_close int target = -1;
  cleanup_close int mounted = -1;
  int err;

  if (!setup->spec->cgroup_dirs[0])
    return 0;
  target = openat (setup->sys, "fs/cgroup", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (target < 0)
    return errno == ENOENT ? 0 : ts_fail (setup->failure, errno, "open", "/sys/fs/cgroup");
  mounted = mount_on (setup, target);
  if (mounted < 0)
    return mounted;
  err = ts_set_attributes (mounted, AT_RECURSIVE, attributes);
  return err < 0 ? ts_fail (setup->failure, -err, "set mount attributes", "/sys/fs/cgroup") : 0;
}

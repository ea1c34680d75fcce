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
   "cgroup.procs" waits 7 to 15 ms for a grace period. v2 has no such file. */
static int
open_members (const char *dir)
{
  char path[PATH_MAX];
  int fd;

  if (snprintf (path, sizeof path, "%s/tasks", dir) >= (int) sizeof path)
    return -ENAMETOOLONG;
  fd = open (path, O_WRONLY | O_CLOEXEC);
  if (fd < 0 && errno == ENOENT && snprintf (path, sizeof path, "%s/cgroup.procs", dir) < (int) sizeof path)
    fd = open (path, O_WRONLY | O_CLOEXEC);
  return fd < 0 ? -errno : fd;
}

int
ts_join_cgroups (char *const *dirs, struct ts_failure *failure)
{
  for (char *const *dir = dirs; *dir; dir++)
    {
      cleanup_close int fd = open_members (*dir);

      if (fd < 0)
        return ts_fail (failure, -fd, "open cgroup", "%s", *dir);
      if (write (fd, "0", 1) != 1)
        return ts_fail (failure, errno, "join cgroup", "%s", *dir);
    }
  return 0;
}

/* Raising is always allowed; a lower value than the node's own may not be. */
int
ts_set_oom_score (uint32_t value, struct ts_failure *failure)
{
  char text[16];
  int size = snprintf (text, sizeof text, "%u", (unsigned) value);
  cleanup_close int fd = open ("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);

  if (fd < 0 || (write (fd, text, (size_t) size) < 0 && errno != EACCES))
    return ts_fail (failure, errno, "set oom_score_adj", "%s", text);
  return 0;
}

/* Where the hierarchy that holds `dir` is mounted: the first part of the path on the same file system. Returns the
   length of that part. */
static size_t
find_hierarchy (const char *dir, dev_t device)
{
  char path[PATH_MAX];
  struct stat part;

  for (size_t end = 1; dir[end - 1]; end++)
    {
      if (dir[end] != '/' && dir[end] != '\0')
        continue;
      snprintf (path, sizeof path, "%.*s", (int) end, dir);
      if (stat (path, &part) == 0 && part.st_dev == device)
        return end;
    }
  return strlen (dir);
}

/* "memory" of "/sys/fs/cgroup/memory/tessera/pod1"; "" when it is to be /sys/fs/cgroup itself. */
static int
name_hierarchy (const char *dir, int fd, bool only, char name[NAME_MAX + 1])
{
  struct stat found;
  struct statfs fs;
  size_t end;
  size_t start;

  if (fstat (fd, &found) < 0 || fstatfs (fd, &fs) < 0)
    return -errno;
  end = find_hierarchy (dir, found.st_dev);
  start = end;
  while (start > 0 && dir[start - 1] != '/')
    start--;
  if (end - start > NAME_MAX)
    return -ENAMETOOLONG;
  snprintf (name, NAME_MAX + 1, "%.*s", (int) (end - start), dir + start);
  if (only && fs.f_type == CGROUP2_MAGIC)
    *name = '\0';
  return 0;
}

static int
mount_hierarchy (struct ts_setup *setup, const char *dir, int folder, bool only)
{
  uint64_t attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC
                        | (setup->spec->security.privileged ? 0 : MOUNT_ATTR_RDONLY);
  char name[NAME_MAX + 1];
  cleanup_close int source = open (dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
  cleanup_close int tree = -1;
  int err;

  if (source < 0)
    return ts_fail (setup->failure, errno, "open cgroup", "%s", dir);
  err = name_hierarchy (dir, source, only, name);
  tree = err < 0 ? err : ts_clone_mount (source, 0, attributes);
  if (tree < 0)
    return ts_fail (setup->failure, -tree, "clone cgroup", "%s", dir);
  if (*name && mkdirat (folder, name, 0755) < 0 && errno != EEXIST)
    return ts_fail (setup->failure, errno, "make cgroup folder", "%s", name);
  if (sys_move_mount (tree, folder, name) < 0)
    return ts_fail (setup->failure, errno, "mount cgroup", "%s", dir);
  return 0;
}

/* /sys/fs/cgroup is the container's own cgroup: the v2 one, or a folder with one per v1 hierarchy. */
int
ts_mount_cgroups (struct ts_setup *setup)
{
  const struct ts_option options[] = { { "mode", "755" }, { "size", "64k" }, { NULL, NULL } };
  char *const *dirs = setup->spec->cgroup_dirs;
  cleanup_close int folder = -1;
  cleanup_close int mounted = -1;
  struct statfs fs;
  bool only = dirs[0] && !dirs[1];
  int err = 0;

  if (!dirs[0])
    return 0;
  folder = openat (setup->sys, "fs/cgroup", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (folder < 0)
    return errno == ENOENT ? 0 : ts_fail (setup->failure, errno, "open", "/sys/fs/cgroup");
  if (only && statfs (dirs[0], &fs) == 0 && fs.f_type == CGROUP2_MAGIC)
    return mount_hierarchy (setup, dirs[0], folder, true);

  mounted = ts_new_mount ("tmpfs", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, setup->failure);
  if (mounted < 0)
    return mounted;
  if (sys_move_mount (mounted, folder, "") < 0)
    return ts_fail (setup->failure, errno, "mount", "/sys/fs/cgroup");
  for (char *const *dir = dirs; err == 0 && *dir; dir++)
    err = mount_hierarchy (setup, *dir, mounted, false);
  if (err == 0)
    err = ts_set_attributes (mounted, 0, setup->spec->security.privileged ? 0 : MOUNT_ATTR_RDONLY);
  return err;
}

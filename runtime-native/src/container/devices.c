/* /dev: a mount of our own, so that nothing an image holds there is ever followed. */
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "container/mounts.h"
#include "container/setup.h"
#include "container/syscalls.h"
#include "lib/cleanup.h"

static const struct
{
  const char *name;
  unsigned major, minor;
} nodes[] = {
  { "null", 1, 3 }, { "zero", 1, 5 }, { "full", 1, 7 }, { "random", 1, 8 }, { "urandom", 1, 9 }, { "tty", 5, 0 },
};

static const struct
{
  const char *target, *name;
} links[] = {
  { "/proc/self/fd", "fd" },       { "/proc/self/fd/0", "stdin" }, { "/proc/self/fd/1", "stdout" },
  { "/proc/self/fd/2", "stderr" }, { "pts/ptmx", "ptmx" },
};

static int
make_nodes (struct ts_setup *setup)
{
  for (size_t i = 0; i < sizeof nodes / sizeof *nodes; i++)
    if (mknodat (setup->dev, nodes[i].name, S_IFCHR | 0666, makedev (nodes[i].major, nodes[i].minor)) < 0)
      return ts_fail (setup->failure, errno, "make device", "/dev/%s", nodes[i].name);
  for (size_t i = 0; i < sizeof links / sizeof *links; i++)
    if (symlinkat (links[i].target, setup->dev, links[i].name) < 0)
      return ts_fail (setup->failure, errno, "make link", "/dev/%s", links[i].name);
  setup->null = openat (setup->dev, "null", O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (setup->null < 0)
    return ts_fail (setup->failure, errno, "open", "/dev/null");
  return 0;
}

static int
attach_below_dev (struct ts_setup *setup, const char *name, int mount)
{
  if (mkdirat (setup->dev, name, 0755) < 0)
    return ts_fail (setup->failure, errno, "make folder", "/dev/%s", name);
  if (sys_move_mount (mount, setup->dev, name) < 0)
    return ts_fail (setup->failure, errno, "mount", "/dev/%s", name);
  return 0;
}

static int
mount_pts (struct ts_setup *setup)
{
  const struct ts_option options[] = { { "mode", "0620" }, { "ptmxmode", "0666" }, { "gid", "5" }, { NULL, NULL } };

  setup->pts = ts_new_mount ("devpts", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, setup->failure);
  return setup->pts < 0 ? setup->pts : attach_below_dev (setup, "pts", setup->pts);
}

static int
mount_mqueue (struct ts_setup *setup)
{
  cleanup_close int mount
      = ts_new_mount ("mqueue", NULL, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC, setup->failure);

  return mount < 0 ? mount : attach_below_dev (setup, "mqueue", mount);
}

/* The pod's containers share one, as they share the IPC namespace. */
static int
mount_shm (struct ts_setup *setup)
{
  const char *shm = setup->spec->shm;
  cleanup_close int source = sys_open (shm, O_PATH | O_DIRECTORY);
  cleanup_close int tree
      = source < 0 ? -errno : ts_clone_mount (source, 0, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);

  if (tree < 0)
    return ts_fail (setup->failure, -tree, "clone shared memory folder", "%s", shm);
  return attach_below_dev (setup, "shm", tree);
}

static bool
is_own_entry (const char *name)
{
  return strcmp (name, ".") == 0 || strcmp (name, "..") == 0 || strcmp (name, "pts") == 0 || strcmp (name, "shm") == 0
         || strcmp (name, "mqueue") == 0;
}

/* Copies the device nodes of a folder of the node's /dev. What vanishes meanwhile or is no device is left out. */
static int
copy_devices (int from, int to, int depth)
{
  cleanup_dir DIR *dir = fdopendir (from);
  struct dirent *entry;

  while (dir && (entry = readdir (dir)))
    {
      struct stat found;

      if (is_own_entry (entry->d_name) || fstatat (from, entry->d_name, &found, AT_SYMLINK_NOFOLLOW) < 0)
        continue;
      if (S_ISCHR (found.st_mode) || S_ISBLK (found.st_mode))
        {
          if (mknodat (to, entry->d_name, found.st_mode, found.st_rdev) < 0 && errno != EEXIST)
            return -errno;
        }
      else if (S_ISDIR (found.st_mode) && depth < 4 && mkdirat (to, entry->d_name, 0755) == 0)
        {
          int below = openat (from, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
          cleanup_close int copy = openat (to, entry->d_name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
          int err = below < 0 || copy < 0 ? -errno : copy_devices (below, copy, depth + 1);

          if (err < 0)
            return err;
        }
    }
  return 0;
}

static int
copy_all_devices (struct ts_setup *setup)
{
  int from = sys_open ("/dev", O_RDONLY | O_DIRECTORY);
  int err = from < 0 ? -errno : copy_devices (from, setup->dev, 0);

  return err < 0 ? ts_fail (setup->failure, -err, "copy devices", "/dev") : 0;
}

int
ts_mount_dev (struct ts_setup *setup)
{
  int err;

  setup->dev = ts_clone_memory_folder (setup, "dev", 0755, MOUNT_ATTR_NOSUID);
  if (setup->dev < 0)
    return setup->dev;
  err = ts_attach_at (setup->root, "/dev", setup->dev, setup->failure);
  if (err == 0)
    err = make_nodes (setup);
  if (err == 0)
    err = mount_pts (setup);
  if (err == 0)
    err = mount_mqueue (setup);
  if (err == 0)
    err = mount_shm (setup);
  if (err == 0 && setup->spec->security.privileged)
    err = copy_all_devices (setup);
  return err;
}

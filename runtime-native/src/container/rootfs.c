/* The container's root: an overlay of the image's layers, mounted in the container's mount namespace only. It is a
   "volatile" one: without that its end, which is the container's, would write out all that waits to be written on the
   node's disk, whoever's it is. What a container has written outside of its volumes is of no use after a crash of the
   machine: it starts anew, with an empty layer. (Documentation/filesystems/overlayfs.rst, "Volatile mount") */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#include "container/mounts.h"
#include "container/setup.h"
#include "container/syscalls.h"
#include "lib/cleanup.h"

enum
{
  /* fsconfig takes no longer string. */
  MAX_CONFIG_STRING = 255,
  FD_PATH_SIZE = sizeof "/proc/self/fd/2147483647",
};

/* A name for the folder that is short and free of characters overlayfs would interpret. The descriptor stays open. */
static int
name_by_descriptor (const char *path, char name[FD_PATH_SIZE])
{
  int fd = sys_open (path, O_PATH | O_DIRECTORY);

  if (fd < 0)
    return -errno;
  snprintf (name, FD_PATH_SIZE, "/proc/self/fd/%d", fd);
  return 0;
}

static int
set_folder (int fs, const char *key, const char *path)
{
  char name[FD_PATH_SIZE];

  if (strlen (path) > MAX_CONFIG_STRING)
    {
      int err = name_by_descriptor (path, name);

      if (err < 0)
        return err;
      path = name;
    }
  return sys_fsconfig (fs, FSCONFIG_SET_STRING, key, path) < 0 ? -errno : 0;
}

/* One call per layer: Linux 6.8 and newer. */
static int
mount_by_layers (const struct ts_rootfs *rootfs)
{
  cleanup_close int fs = sys_fsopen ("overlay");
  int err = fs < 0 ? -errno : 0;

  if (err == 0 && sys_fsconfig (fs, FSCONFIG_SET_STRING, "source", "overlay") < 0)
    err = -errno;
  for (char **lower = rootfs->lower; err == 0 && *lower; lower++)
    err = set_folder (fs, "lowerdir+", *lower);
  if (err == 0)
    err = set_folder (fs, "upperdir", rootfs->upper);
  if (err == 0)
    err = set_folder (fs, "workdir", rootfs->work);
  if (err == 0 && sys_fsconfig (fs, FSCONFIG_SET_FLAG, "volatile", NULL) < 0)
    err = -errno;
  if (err == 0 && sys_fsconfig (fs, FSCONFIG_SET_STRING, "uuid", "null") < 0)
    err = -errno;
  if (err == 0 && sys_fsconfig (fs, FSCONFIG_CMD_CREATE, NULL, NULL) < 0)
    err = -errno;
  if (err < 0)
    return err;
  err = sys_fsmount (fs, 0);
  return err < 0 ? -errno : err;
}

static int
append_folder (char *data, size_t size, const char *before, const char *path)
{
  char name[FD_PATH_SIZE];
  size_t used = strlen (data);
  int err = name_by_descriptor (path, name);

  if (err < 0)
    return err;
  if ((size_t) snprintf (data + used, size - used, "%s%s", before, name) >= size - used)
    return -E2BIG;
  return 0;
}

/* All layers in one page of options, each by its descriptor's short name: room for 200 of them. */
static int
mount_by_options (const struct ts_rootfs *rootfs)
{
  char data[4096] = "volatile";
  int err = 0;
  int root;

  for (char **lower = rootfs->lower; err == 0 && *lower; lower++)
    err = append_folder (data, sizeof data, lower == rootfs->lower ? ",lowerdir=" : ":", *lower);
  if (err == 0)
    err = append_folder (data, sizeof data, ",upperdir=", rootfs->upper);
  if (err == 0)
    err = append_folder (data, sizeof data, ",workdir=", rootfs->work);
  if (err < 0)
    return err;
  if (mount ("overlay", rootfs->mountpoint, "overlay", 0, data) < 0)
    return -errno;
  root = sys_open (rootfs->mountpoint, O_PATH | O_DIRECTORY);
  return root < 0 ? -errno : root;
}

/* The kernel's mark of a volatile overlay. */
static bool
was_used (const char *work)
{
  char mark[PATH_MAX];

  return snprintf (mark, sizeof mark, "%s/work/incompat/volatile", work) < (int) sizeof mark
         && access (mark, F_OK) == 0;
}

/* Says which folder is the cause where the kernel only says EINVAL or ENOENT. */
static int
fail_overlay (const struct ts_rootfs *rootfs, int error, struct ts_failure *failure)
{
  const char *others[] = { rootfs->upper, rootfs->work, rootfs->mountpoint };

  for (char **lower = rootfs->lower; *lower; lower++)
    if (access (*lower, X_OK) < 0)
      return ts_fail (failure, errno, "open layer", "%s", *lower);
  for (size_t i = 0; i < sizeof others / sizeof *others; i++)
    if (access (others[i], W_OK) < 0)
      return ts_fail (failure, errno, "open folder of the overlay", "%s", others[i]);
  if (was_used (rootfs->work))
    return ts_fail (failure, EEXIST, "mount overlay", "%s was the work folder of another", rootfs->work);
  return ts_fail (failure, error, "mount overlay", "%s", rootfs->mountpoint);
}

int
ts_mount_rootfs (struct ts_setup *setup)
{
  const struct ts_rootfs *rootfs = &setup->spec->rootfs;
  int root = mount_by_layers (rootfs);

  if (root >= 0)
    {
      if (sys_move_mount (root, AT_FDCWD, rootfs->mountpoint) < 0)
        return ts_fail (setup->failure, errno, "attach overlay", "%s", rootfs->mountpoint);
    }
  else if (root == -EINVAL || root == -ENOSYS)
    root = mount_by_options (rootfs);
  if (root < 0)
    return fail_overlay (rootfs, -root, setup->failure);
  setup->root = root;
  return 0;
}

/* The spec's own mounts. Sources are cloned first, while the mount namespace still is a peer of the node's; then the
   destinations are resolved inside the container's root, where every part may be hostile. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "container/mounts.h"
#include "container/setup.h"
#include "container/subpath.h"
#include "container/syscalls.h"
#include "lib/cleanup.h"

#define PROC_MAGIC 0x9fa0
#define SYSFS_MAGIC 0x62656572

static int
set_propagation (int tree, const struct ts_mount *mount)
{
  static const uint64_t kernel_flags[]
      = { [TS_PRIVATE] = MS_PRIVATE, [TS_RSLAVE] = MS_SLAVE, [TS_RSHARED] = MS_SHARED };
  struct mount_attr attr = {
    .attr_set = mount->read_only ? MOUNT_ATTR_RDONLY : 0,
    .propagation = kernel_flags[mount->propagation],
  };

  return sys_mount_setattr (tree, AT_RECURSIVE, &attr) < 0 ? -errno : 0;
}

static int
fail_source (const struct ts_mount *mount, int error, struct ts_failure *failure)
{
  if (error == ENOENT || error == ENOTDIR || error == ELOOP)
    return ts_refuse (failure, TS_NOT_FOUND, error, "open mount source", "%s", mount->source);
  return ts_fail (failure, error, "open mount source", "%s", mount->source);
}

/* What is to be mounted, as a descriptor: nothing that happens in a volume from here on changes which file it is. */
static int
open_source (const struct ts_mount *mount, struct ts_failure *failure)
{
  cleanup_close int source = sys_open (mount->source, O_PATH);
  int fd;

  if (source < 0)
    return fail_source (mount, errno, failure);
  if (mount->type != TS_MOUNT_SUB_PATH)
    return steal_fd (&source);
  fd = ts_open_sub_path (source, mount->sub_path);
  if (fd == -EXDEV)
    return ts_refuse (failure, TS_INVALID_ARGUMENT, EPERM, "open subPath", "%s leads out of the volume",
                      mount->sub_path);
  if (fd == -ENOTDIR || fd == -ELOOP || fd == -ENOENT || fd == -ENAMETOOLONG)
    return ts_refuse (failure, TS_INVALID_ARGUMENT, -fd, "open subPath", "%s", mount->sub_path);
  return fd < 0 ? ts_fail (failure, -fd, "open subPath", "%s", mount->sub_path) : fd;
}

static int
clone_bind (struct ts_mount *mount, struct ts_failure *failure)
{
  unsigned flags = OPEN_TREE_CLONE | AT_EMPTY_PATH | (mount->recursive ? AT_RECURSIVE : 0);
  cleanup_close int source = open_source (mount, failure);
  int err;

  if (source < 0)
    return source;
  mount->tree = sys_open_tree (source, "", flags);
  if (mount->tree < 0)
    return fail_source (mount, errno, failure);
  err = set_propagation (mount->tree, mount);
  return err < 0 ? ts_fail (failure, -err, "set mount attributes", "%s", mount->source) : 0;
}

static int
make_tmpfs (struct ts_mount *mount, struct ts_failure *failure)
{
  char mode[16];
  char size[24];
  struct ts_option options[] = { { "mode", mode }, { mount->size ? "size" : NULL, size }, { NULL, NULL } };

  snprintf (mode, sizeof mode, "%o", (unsigned) mount->mode & 07777);
  snprintf (size, sizeof size, "%llu", (unsigned long long) mount->size);
  mount->tree = ts_new_mount (
      "tmpfs", options, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | (mount->read_only ? MOUNT_ATTR_RDONLY : 0), failure);
  return mount->tree < 0 ? mount->tree : 0;
}

int
ts_clone_volumes (struct ts_setup *setup)
{
  const struct ts_container_spec *spec = setup->spec;
  int err = 0;

  for (size_t i = 0; err == 0 && i < spec->mount_count; i++)
    err = spec->mounts[i].type == TS_MOUNT_TMPFS ? make_tmpfs (&spec->mounts[i], setup->failure)
                                                 : clone_bind (&spec->mounts[i], setup->failure);
  return err;
}

/* The kernel's own folders must stay what they are: masks and the writes of later processes rely on them. */
static int
check_target (struct ts_setup *setup, int target, const struct ts_mount *mount)
{
  struct statfs fs;
  struct stat found, root;

  if (fstatfs (target, &fs) < 0 || fstat (target, &found) < 0 || fstat (setup->root, &root) < 0)
    return ts_fail (setup->failure, errno, "look at mount point", "%s", mount->destination);
  if (found.st_dev == root.st_dev && found.st_ino == root.st_ino)
    return ts_refuse (setup->failure, TS_INVALID_ARGUMENT, EINVAL, "mount volume", "%s is the root of the container",
                      mount->destination);
  if (fs.f_type == PROC_MAGIC || (fs.f_type == SYSFS_MAGIC && !setup->spec->security.privileged))
    return ts_refuse (setup->failure, TS_INVALID_ARGUMENT, EINVAL, "mount volume",
                      "%s leads into /%s, where nothing may be mounted", mount->destination,
                      fs.f_type == PROC_MAGIC ? "proc" : "sys");
  return 0;
}

static int
attach_volume (struct ts_setup *setup, struct ts_mount *mount)
{
  struct stat source;
  cleanup_close int target = -1;
  int err;

  if (fstat (mount->tree, &source) < 0)
    return ts_fail (setup->failure, errno, "look at mount source", "%s", mount->source);
  target = ts_root_make (setup->root, mount->destination, S_ISDIR (source.st_mode) ? TS_DIRECTORY : TS_FILE, 0);
  if (target == -ENOTDIR || target == -EISDIR)
    return ts_refuse (setup->failure, TS_INVALID_ARGUMENT, -target, "mount volume", "a %s cannot be mounted at %s",
                      S_ISDIR (source.st_mode) ? "folder" : "file", mount->destination);
  if (target < 0)
    return ts_fail (setup->failure, -target, "open mount point", "%s", mount->destination);
  err = check_target (setup, target, mount);
  if (err < 0)
    return err;
  if (sys_move_mount (mount->tree, target, "") < 0)
    return ts_fail (setup->failure, errno, "mount volume", "%s", mount->destination);
  close (mount->tree);
  mount->tree = -1;
  return 0;
}

int
ts_attach_volumes (struct ts_setup *setup)
{
  const struct ts_container_spec *spec = setup->spec;
  int err = 0;

  for (size_t i = 0; err == 0 && i < spec->mount_count; i++)
    err = attach_volume (setup, &spec->mounts[i]);
  return err;
}

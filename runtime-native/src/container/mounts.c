#include "container/mounts.h"

#include <errno.h>

#include "container/syscalls.h"
#include "lib/cleanup.h"

int
ts_new_mount (const char *type, const struct ts_option *options, unsigned attributes, struct ts_failure *failure)
{
  cleanup_close int fs = sys_fsopen (type);
  int mount;

  if (fs < 0)
    return ts_fail (failure, errno, "open file system", "%s", type);
  /* What "mount" and "df" say in the first column. */
  if (sys_fsconfig (fs, FSCONFIG_SET_STRING, "source", type) < 0)
    return ts_fail (failure, errno, "configure file system", "%s", type);
  for (const struct ts_option *option = options; option && option->key; option++)
    if (sys_fsconfig (fs, option->value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, option->key, option->value) < 0)
      return ts_fail (failure, errno, "configure file system", "%s: %s=%s", type, option->key,
                      option->value ? option->value : "");
  if (sys_fsconfig (fs, FSCONFIG_CMD_CREATE, NULL, NULL) < 0)
    return ts_fail (failure, errno, "create file system", "%s", type);
  mount = sys_fsmount (fs, attributes);
  if (mount < 0)
    return ts_fail (failure, errno, "mount file system", "%s", type);
  return mount;
}

int
ts_set_attributes (int mount, unsigned flags, uint64_t attributes)
{
  struct mount_attr attr = { .attr_set = attributes };

  return sys_mount_setattr (mount, flags, &attr) < 0 ? -errno : 0;
}

int
ts_clone_mount (int fd, unsigned flags, uint64_t attributes)
{
  cleanup_close int tree = sys_open_tree (fd, "", OPEN_TREE_CLONE | AT_EMPTY_PATH | flags);
  int err;

  if (tree < 0)
    return -errno;
  err = attributes ? ts_set_attributes (tree, flags & AT_RECURSIVE, attributes) : 0;
  return err < 0 ? err : steal_fd (&tree);
}

int
ts_attach_at (int root, const char *path, int mount, struct ts_failure *failure)
{
  cleanup_close int target = ts_root_make (root, path, TS_DIRECTORY, RESOLVE_NO_SYMLINKS);

  if (target == -ELOOP || target == -ENOTDIR)
    return ts_refuse (failure, TS_INVALID_ARGUMENT, -target, "mount",
                      "the image has no folder at %s but something else", path);
  if (target < 0)
    return ts_fail (failure, -target, "open mount point", "%s", path);
  if (sys_move_mount (mount, target, "") < 0)
    return ts_fail (failure, errno, "mount", "%s", path);
  return 0;
}

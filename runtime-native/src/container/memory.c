/* One file system in memory for all that a container has of us and not of its image: /dev, the folder of the v1
   cgroups, the empty folder that hides paths. One each would be made and ended with every container. */
#include <errno.h>
#include <sys/stat.h>

#include "container/mounts.h"
#include "container/setup.h"
#include "container/syscalls.h"
#include "lib/cleanup.h"

/* It is attached at the overlay's work folder, which the overlay itself holds by other means, and goes with the node's
   mounts: before Linux 6.15 only what is attached can be cloned. Nobody in the container reaches more of it than the
   folders that are cloned. */
int
ts_mount_memory (struct ts_setup *setup)
{
  const struct ts_option options[] = { { "mode", "755" }, { "size", "64m" }, { NULL, NULL } };
  const char *work = setup->spec->rootfs.work;
  cleanup_close int memory = ts_new_mount ("tmpfs", options, 0, setup->failure);

  if (memory < 0)
    return memory;
  if (sys_move_mount (memory, AT_FDCWD, work) < 0)
    return ts_fail (setup->failure, errno, "mount", "file system in memory at %s", work);
  setup->memory = steal_fd (&memory);
  return 0;
}

int
ts_clone_memory_folder (struct ts_setup *setup, const char *name, mode_t mode, uint64_t attributes)
{
  cleanup_close int tree = -1;
  int err;

  if (mkdirat (setup->memory, name, mode) < 0)
    return ts_fail (setup->failure, errno, "make folder in memory", "%s", name);
  tree = sys_open_tree (setup->memory, name, OPEN_TREE_CLONE);
  err = tree < 0 ? -errno : ts_set_attributes (tree, 0, attributes);
  return err < 0 ? ts_fail (setup->failure, -err, "clone folder in memory", "%s", name) : steal_fd (&tree);
}

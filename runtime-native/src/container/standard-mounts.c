/* /proc and /sys as every container has them, and what is hidden in them. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include "container/mounts.h"
#include "container/setup.h"
#include "container/syscalls.h"
#include "lib/cleanup.h"

enum
{
  /* Beyond all descriptors that are open while a container is set up. */
  TAKEN_FD = 200,
};

/* Whoever mounts it sees its own processes there: that of a namespace which we are not in was mounted by another. */
static int
clone_proc (const char *path, struct ts_failure *failure)
{
  cleanup_close int source = sys_open (path, O_PATH | O_DIRECTORY | O_NOFOLLOW);
  int tree = source < 0 ? -errno : ts_clone_mount (source, 0, 0);

  return tree < 0 ? ts_fail (failure, -tree, "clone the pod's /proc", "%s", path) : tree;
}

/* Runs in a child of its own, in the mount namespace of a container that may be hostile: what is there as /proc must be
   a procfs, and is taken without what covers parts of it. The child itself stays out of sight, in our pid namespace. */
static int
take_proc (void)
{
  struct statfs fs;
  int tree;

  if (setns (TS_NAMESPACE_FD, CLONE_NEWNS) < 0)
    return errno;
  tree = sys_open_tree (AT_FDCWD, "/proc", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW);
  if (tree < 0 || fstatfs (tree, &fs) < 0)
    return errno;
  if (fs.f_type != PROC_SUPER_MAGIC)
    return EUCLEAN;
  return dup3 (tree, TAKEN_FD, O_CLOEXEC) < 0 ? errno : 0;
}

/* The /proc of another container, by a child that shares our descriptors and nothing else. */
static int
take_target_proc (const char *target, struct ts_failure *failure)
{
  int status = 0;
  pid_t pid = sys_clone (CLONE_FILES | SIGCHLD, NULL);

  if (pid == 0)
    _exit (take_proc ());
  if (pid < 0)
    return ts_fail (failure, errno, "clone for /proc of container", "%s", target);
  while (waitpid (pid, &status, 0) < 0)
    if (errno != EINTR)
      return ts_fail (failure, errno, "wait for /proc of container", "%s", target);
  if (!WIFEXITED (status) || WEXITSTATUS (status) != 0)
    return ts_fail (failure, WIFEXITED (status) ? WEXITSTATUS (status) : ECHILD, "clone /proc of container", "%s",
                    target);
  return TAKEN_FD;
}

static int
open_proc (struct ts_setup *setup)
{
  const struct ts_container_spec *spec = setup->spec;

  if (spec->target)
    return take_target_proc (spec->target, setup->failure);
  return spec->proc ? clone_proc (spec->proc, setup->failure)
                    : ts_new_mount ("proc", NULL, TS_PROC_ATTRIBUTES, setup->failure);
}

int
ts_mount_proc (struct ts_setup *setup)
{
  int proc = open_proc (setup);

  if (proc < 0)
    return proc;
  setup->proc = proc;
  return ts_attach_at (setup->root, "/proc", proc, setup->failure);
}

int
ts_mount_sys (struct ts_setup *setup)
{
  unsigned attributes = MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC;
  int sys = ts_new_mount ("sysfs", NULL, attributes | (setup->spec->security.privileged ? 0 : MOUNT_ATTR_RDONLY),
                          setup->failure);

  if (sys < 0)
    return sys;
  setup->sys = sys;
  return ts_attach_at (setup->root, "/sys", sys, setup->failure);
}

/* What tells about or acts on the whole machine, not the container. */
static const char *const masked_in_proc[]
    = { "acpi",          "asound", "bus/pci",     "dynamic_debug", "interrupts", "kcore",       "keys",
        "latency_stats", "kmsg",   "sched_debug", "scsi",          "timer_list", "timer_stats", NULL };
static const char *const masked_in_sys[] = { "firmware", "devices/virtual/powercap", "kernel/debug", NULL };
static const char *const read_only_in_proc[] = { "bus", "fs", "irq", "sys", "sysrq-trigger", NULL };

/* The kernel's own files: no link and no other mount may be in the way. */
static int
open_kernel_path (int mount, const char *path)
{
  int fd = sys_openat2 (mount, path, O_PATH, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV);

  return fd < 0 ? -errno : fd;
}

/* What hides a path: an empty read-only folder, /dev/null. The first of each is made, and the others are its clones. */
struct covers
{
  int folder;
  int file;
};

static int
make_folder_cover (struct ts_setup *setup)
{
  return ts_clone_memory_folder (setup, "empty", 0555,
                                 MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC);
}

static int
make_file_cover (struct ts_setup *setup)
{
  int cover = ts_clone_mount (setup->null, 0, MOUNT_ATTR_RDONLY);

  return cover < 0 ? ts_fail (setup->failure, -cover, "clone", "/dev/null") : cover;
}

static int
clone_cover (struct ts_setup *setup, int *first, int (*make) (struct ts_setup *setup))
{
  if (*first >= 0)
    return ts_clone_mount (*first, 0, 0);
  *first = make (setup);
  return *first < 0 ? *first : dup (*first);
}

static int
mask (struct ts_setup *setup, int mount, const char *path, struct covers *covers)
{
  cleanup_close int target = open_kernel_path (mount, path);
  cleanup_close int cover = -1;
  struct stat found;

  if (target == -ENOENT)
    return 0;
  if (target < 0 || fstat (target, &found) < 0)
    return ts_fail (setup->failure, target < 0 ? -target : errno, "open path to mask", "%s", path);
  cover = S_ISDIR (found.st_mode) ? clone_cover (setup, &covers->folder, make_folder_cover)
                                  : clone_cover (setup, &covers->file, make_file_cover);
  if (cover < 0 || sys_move_mount (cover, target, "") < 0)
    return ts_fail (setup->failure, cover < 0 ? -cover : errno, "mask path", "%s", path);
  return 0;
}

static int
make_read_only (struct ts_setup *setup, int mount, const char *path)
{
  cleanup_close int target = open_kernel_path (mount, path);
  cleanup_close int tree = -1;

  if (target == -ENOENT)
    return 0;
  tree = target < 0 ? target : ts_clone_mount (target, AT_RECURSIVE, MOUNT_ATTR_RDONLY);
  if (tree < 0 || sys_move_mount (tree, target, "") < 0)
    return ts_fail (setup->failure, tree < 0 ? -tree : errno, "make path read-only", "%s", path);
  return 0;
}

int
ts_mask_paths (struct ts_setup *setup)
{
  struct covers covers = { -1, -1 };
  int err = 0;

  if (setup->spec->security.privileged)
    return 0;
  for (const char *const *path = masked_in_proc; err == 0 && *path; path++)
    err = mask (setup, setup->proc, *path, &covers);
  for (const char *const *path = masked_in_sys; err == 0 && *path; path++)
    err = mask (setup, setup->sys, *path, &covers);
  cleanup_closep (&covers.folder);
  cleanup_closep (&covers.file);
  for (const char *const *path = read_only_in_proc; err == 0 && *path; path++)
    err = make_read_only (setup, setup->proc, *path);
  return err;
}

/* The child's half of starting a container. */
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "container/channel.h"
#include "container/mounts.h"
#include "container/process.h"
#include "container/setup.h"
#include "container/syscalls.h"
#include "lib/cleanup.h"

/* After the cgroups were joined: they become what the container sees as "/". */
static int
leave_cgroup_namespace (struct ts_setup *setup)
{
  return unshare (CLONE_NEWCGROUP) < 0 ? ts_fail_step (setup->failure, errno, "make cgroup namespace") : 0;
}

static int
set_oom_score (struct ts_setup *setup)
{
  return ts_set_oom_score (setup->spec->oom_score_adj, setup->failure);
}

static int
make_mounts_private (struct ts_setup *setup)
{
  if (mount (NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
    return ts_fail (setup->failure, errno, "make mounts private", "/");
  return 0;
}

static int
make_cwd (struct ts_setup *setup)
{
  const char *cwd = setup->spec->process.cwd;
  cleanup_close int fd = ts_root_make (setup->root, cwd, TS_DIRECTORY, 0);

  /* A read-only volume in the way: entering it says so better. */
  if (fd < 0 && fd != -EROFS)
    return ts_refuse (setup->failure, TS_INVALID_ARGUMENT, -fd, "make working directory", "%s", cwd);
  return 0;
}

static int
open_terminal (struct ts_setup *setup)
{
  const struct ts_process *process = &setup->spec->process;
  cleanup_close int multiplexer = -1;
  cleanup_close int console = -1;
  cleanup_close int tree = -1;
  int err;

  if (!process->terminal)
    return 0;
  multiplexer = openat (setup->pts, "ptmx", O_RDWR | O_NOCTTY | O_NOFOLLOW | O_CLOEXEC);
  if (multiplexer < 0)
    return ts_fail (setup->failure, errno, "open terminal", "/dev/pts/ptmx");
  err = ts_open_terminal (multiplexer, process, setup->failure);
  if (err < 0)
    return err;
  console = openat (setup->dev, "console", O_RDONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (console < 0)
    return ts_fail (setup->failure, errno, "make device", "/dev/console");
  tree = ts_clone_mount (0, 0, 0);
  if (tree < 0 || sys_move_mount (tree, console, "") < 0)
    return ts_fail (setup->failure, tree < 0 ? -tree : errno, "mount", "/dev/console");
  return 0;
}

static int
close_rootfs (struct ts_setup *setup)
{
  int err = setup->spec->rootfs.read_only ? ts_set_attributes (setup->root, 0, MOUNT_ATTR_RDONLY) : 0;

  return err < 0 ? ts_fail_step (setup->failure, -err, "make root read-only") : 0;
}

/* The old root ends up below the new one, where nothing but this detaching reaches it. */
int
ts_change_root (int root, struct ts_failure *failure)
{
  if (fchdir (root) < 0)
    return ts_fail_step (failure, errno, "enter root");
  if (sys_pivot_root (".", ".") < 0)
    return ts_fail_step (failure, errno, "pivot_root");
  if (umount2 (".", MNT_DETACH) < 0)
    return ts_fail_step (failure, errno, "detach old root");
  if (chdir ("/") < 0)
    return ts_fail (failure, errno, "enter root", "/");
  return 0;
}

static int
enter_root (struct ts_setup *setup)
{
  int err = ts_change_root (setup->root, setup->failure);

  if (err < 0)
    return err;
  err = ts_close_descriptors (setup->kept);
  return err < 0 ? ts_fail_step (setup->failure, -err, "close descriptors") : 0;
}

static int
enter_cwd (struct ts_setup *setup)
{
  return ts_enter_cwd (setup->spec->process.cwd, setup->failure);
}

/* Containers of a pod that share their processes: all until here was done outside of their pid namespace, since those
   that are in there already could look into a process which still has the node's files before it. What is left is for
   a process inside, which is the shim's child as well. */
static int
enter_shared_pids (struct ts_setup *setup)
{
  struct ts_failure *failure = setup->failure;
  pid_t pid;

  if (setup->kept[0] < 0)
    return 0;
  if (setns (TS_NAMESPACE_FD, CLONE_NEWPID) < 0)
    return ts_fail_step (failure, errno, "enter the pod's pid namespace");
  close (TS_NAMESPACE_FD);
  pid = sys_clone (CLONE_PARENT | SIGCHLD, NULL);
  if (pid < 0)
    return ts_fail_step (failure, errno, "clone into the pod's pid namespace");
  if (pid > 0)
    _exit (ts_channel_send_process (TS_CHANNEL_FD, pid) < 0 ? 127 : 0);
  return 0;
}

static int
begin_session (struct ts_setup *setup)
{
  return ts_begin_session (&setup->spec->process, setup->failure);
}

/* clang-format off */
static int (*const steps[]) (struct ts_setup *) = {
  ts_enter_cgroups,
  leave_cgroup_namespace,
  set_oom_score,
  ts_clone_volumes,
  make_mounts_private,
  ts_mount_rootfs,
  ts_mount_memory,
  ts_mount_proc,
  ts_mount_sys,
  ts_mount_cgroups,
  ts_mount_dev,
  ts_mask_paths,
  open_terminal,
  ts_fill_image_volumes,
  ts_attach_volumes,
  make_cwd,
  close_rootfs,
  enter_root,
  enter_cwd,
  enter_shared_pids,
  begin_session,
};
/* clang-format on */

void
ts_start_child (const struct ts_container_spec *spec, int channel, const int stdio[3])
{
  struct ts_failure failure = { 0 };
  struct ts_setup setup = { .spec = spec,
                            .failure = &failure,
                            .root = -1,
                            .memory = -1,
                            .proc = -1,
                            .sys = -1,
                            .dev = -1,
                            .pts = -1,
                            .null = -1,
                            .kept = { spec->pod_init, spec->process.init ? spec->program : -1 } };
  int err;

  umask (0);
  err = ts_arrange_descriptors (channel, stdio, setup.kept, &failure);
  for (size_t i = 0; err == 0 && i < sizeof steps / sizeof *steps; i++)
    err = steps[i](&setup);
  if (err == 0)
    ts_become_command (&spec->process, &spec->security, -1, &failure);
  ts_give_up (&failure);
}

/* The pid namespace that the containers of a pod share.

     shim --clone (new pid namespace)--> child: mounts the namespace's /proc below the run folder
                                           | mount namespace of its own with an empty root, no rights, a user of its own
                                           | execve: this program again, as TS_PAUSE_NAME

   It is in the shim's cgroup and is none of the containers: none of them ends the others with its own end. */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "container/channel.h"
#include "container/init.h"
#include "container/mounts.h"
#include "container/setup.h"
#include "container/syscalls.h"
#include "lib/cleanup.h"
#include "shim/shim.h"

enum
{
  /* Nobody's user: a container's root may not look into it. */
  PAUSE_ID = 65535,
};

/* In the node's mount namespace, as /dev/shm is: each container takes a clone. */
static int
mount_proc (const char *path, struct ts_failure *failure)
{
  if (mkdir (path, 0700) < 0 && errno != EEXIST)
    return ts_fail (failure, errno, "make folder for /proc", "%s", path);
  if (mount ("proc", path, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL) < 0)
    return ts_fail (failure, errno, "mount /proc of the pod", "%s", path);
  return 0;
}

/* Through /proc/1/root a container with CAP_SYS_PTRACE sees what the first process has as its root. */
static int
leave_node (const char *path, struct ts_failure *failure)
{
  const struct ts_option options[] = { { "size", "0" }, { "mode", "555" }, { NULL, NULL } };
  cleanup_close int root = -1;

  if (unshare (CLONE_NEWNS | CLONE_NEWCGROUP) < 0)
    return ts_fail_step (failure, errno, "make namespaces of the pod's first process");
  if (mount (NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
    return ts_fail (failure, errno, "make mounts private", "/");
  root = ts_new_mount ("tmpfs", options, TS_PROC_ATTRIBUTES | MOUNT_ATTR_RDONLY, failure);
  if (root < 0)
    return root;
  if (sys_move_mount (root, AT_FDCWD, path) < 0)
    return ts_fail (failure, errno, "mount empty root", "%s", path);
  return ts_change_root (root, failure);
}

static _Noreturn void
become_pause (const struct ts_shim *shim, int channel)
{
  static const int stdio[3] = { 0, 0, 0 };
  const struct ts_process process = { .uid = PAUSE_ID, .gid = PAUSE_ID };
  const struct ts_security security = { .no_new_privileges = true };
  const int kept[TS_KEPT_COUNT] = { -1, shim->program };
  struct ts_failure failure = { 0 };
  int err = ts_arrange_descriptors (channel, stdio, kept, &failure);

  if (err == 0)
    err = mount_proc (shim->pod_init.proc, &failure);
  if (err == 0)
    err = leave_node (shim->pod_init.proc, &failure);
  if (err == 0)
    err = ts_begin_session (&process, &failure);
  if (err == 0)
    err = ts_drop_privileges (&process, &security, &failure);
  if (err == 0)
    ts_exec_pause (&failure);
  ts_give_up (&failure);
}

/* Until execve closes the channel. Nothing else is to be done before the sandbox is there. */
static int
await_pause (int channel, struct ts_failure *failure)
{
  struct pollfd readable = { .fd = channel, .events = POLLIN };
  struct ts_report report;
  bool ready = false;
  pid_t sender;
  int fd = -1;
  int more;

  while ((more = ts_channel_receive (channel, &report, &sender, &fd)) != 0)
    {
      if (more == -EAGAIN)
        poll (&readable, 1, -1);
      else if (more < 0)
        return ts_fail_step (failure, -more, "start the pod's first process");
      else if (report.kind == TS_REPORT_READY)
        ready = true;
      else if (report.kind == TS_REPORT_FAILED)
        {
          *failure = report.failure;
          return -failure->error;
        }
    }
  return ready ? 0 : ts_fail_step (failure, ECHILD, "start the pod's first process");
}

int
ts_start_pod_init (const struct ts_sandbox_options *options, struct ts_shim *shim, struct ts_failure *failure)
{
  cleanup_free char *proc = NULL;
  cleanup_close int own = -1;
  cleanup_close int other = -1;
  int ends[2];
  int err;

  if (asprintf (&proc, "%s/proc", options->run_dir) < 0)
    return ts_fail_step (failure, ENOMEM, "start the pod's first process");
  shim->pod_init.proc = proc;
  err = ts_channel_open (ends);
  if (err < 0)
    return ts_fail_step (failure, -err, "make channel");
  own = ends[0];
  other = ends[1];
  shim->pod_init.pid = sys_clone (CLONE_NEWPID | CLONE_PIDFD | SIGCHLD, &shim->pod_init.pidfd);
  if (shim->pod_init.pid == 0)
    become_pause (shim, other);
  if (shim->pod_init.pid < 0)
    return ts_fail_step (failure, errno, "make the pod's pid namespace");
  close (steal_fd (&other));
  proc = NULL;
  return await_pause (own, failure);
}

bool
ts_pod_init_ended (struct ts_shim *shim, pid_t pid)
{
  if (shim->pod_init.pid != pid)
    return false;
  shim->pod_init.pid = 0;
  if (!shim->stopping)
    {
      /* The kernel has killed the containers with it, and tells of its end only after all of theirs. */
      ts_flush_all (shim);
      _exit (1);
    }
  ts_settle (shim);
  return true;
}

/* Starts a pod's shim so that it is nobody's child here and outlives the agent.

     caller (a libuv worker of Node)
        | clone (VM|VFORK), no exit signal
     intermediate: own session, cgroups, network namespace; exits
        | clone (VM|VFORK), into the cgroup when there is a v2 one
     shim: descriptors, signals, exec; adopted by init when the intermediate exits

   Both children share the caller's memory until they exec or exit, so nothing is copied whatever the size of
   the process (a copying fork of a 1 GB process blocks 20 ms), and errors come back through `struct launch`.
   In return they run on stacks of their own, with every signal blocked, and call nothing that allocates or
   locks. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "lib/cleanup.h"
#include "lib/process.h"
#include "lib/result.h"
#include "lib/syscalls.h"

enum
{
  STACK_SIZE = 64 * 1024,
  GUARD_SIZE = 4096 * 4,
  MAX_CGROUPS = 16,
  READY_FD = 3,
  /* Descriptors the child duplicates from are above all those it duplicates to. */
  FIRST_FREE_FD = 10,
};

struct launch
{
  const struct ts_spawn_spec *spec;
  char *shim_stack;
  int null_fd;
  int log_fd;
  int ready_fd;
  int netns_fd;
  int task_fds[MAX_CGROUPS]; /* "tasks" of each v1 cgroup */
  int task_count;
  int unified_fd; /* folder of the v2 cgroup, or -1 */
  /* Written by the children. */
  pid_t shim;
  int error;
  const char *step;
};

static void
close_launch (struct launch *launch)
{
  cleanup_closep (&launch->null_fd);
  cleanup_closep (&launch->log_fd);
  cleanup_closep (&launch->ready_fd);
  cleanup_closep (&launch->netns_fd);
  cleanup_closep (&launch->unified_fd);
  for (int i = 0; i < launch->task_count; i++)
    cleanup_closep (&launch->task_fds[i]);
}

static int
move_up (int fd)
{
  cleanup_close int old = fd;

  if (fd < 0 || fd >= FIRST_FREE_FD)
    return steal_fd (&old);
  return fcntl (fd, F_DUPFD_CLOEXEC, FIRST_FREE_FD);
}

static int
open_up (const char *path, int flags, mode_t mode)
{
  return move_up (open (path, flags | O_CLOEXEC | O_NOCTTY, mode));
}

/* A v1 cgroup has a file "tasks", a v2 one has not. Writing "0" there moves only the writer itself, which
   takes no lock that readers hold: 0.03 ms, where "cgroup.procs" waits 7 to 15 ms for a grace period. */
static int
open_cgroup (struct launch *launch, const char *dir, struct ts_result *res)
{
  char path[PATH_MAX];
  int fd;

  if (snprintf (path, sizeof path, "%s/tasks", dir) >= (int) sizeof path)
    return ts_fail (res, ENAMETOOLONG, "open cgroup", "%s", dir);
  fd = open_up (path, O_WRONLY, 0);
  if (fd >= 0)
    {
      if (launch->task_count == MAX_CGROUPS)
        {
          close (fd);
          return ts_fail (res, E2BIG, "open cgroup", "more than %d hierarchies", MAX_CGROUPS);
        }
      launch->task_fds[launch->task_count++] = fd;
      return 0;
    }
  if (errno != ENOENT)
    return ts_fail (res, errno, "open cgroup", "%s", path);
  if (launch->unified_fd >= 0)
    return ts_fail (res, EINVAL, "open cgroup", "%s is a second cgroup v2", dir);
  launch->unified_fd = open_up (dir, O_RDONLY | O_DIRECTORY, 0);
  if (launch->unified_fd < 0)
    return ts_fail (res, errno, "open cgroup", "%s", dir);
  return 0;
}

static int
open_launch (struct launch *launch, struct ts_result *res)
{
  const struct ts_spawn_spec *spec = launch->spec;
  int err;

  launch->null_fd = open_up ("/dev/null", O_RDWR, 0);
  if (launch->null_fd < 0)
    return ts_fail (res, errno, "open", "/dev/null");
  if (spec->log_path)
    {
      launch->log_fd = open_up (spec->log_path, O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW, 0600);
      if (launch->log_fd < 0)
        return ts_fail (res, errno, "open shim log", "%s", spec->log_path);
    }
  if (spec->netns)
    {
      launch->netns_fd = open_up (spec->netns, O_RDONLY, 0);
      if (launch->netns_fd < 0)
        return ts_fail (res, errno, "open network namespace", "%s", spec->netns);
    }
  for (const char *const *dir = spec->cgroup_dirs; dir && *dir; dir++)
    {
      err = open_cgroup (launch, *dir, res);
      if (err < 0)
        return err;
    }
  return 0;
}

/* ---- in the children ---- */

static int
give_up (struct launch *launch, const char *step)
{
  launch->error = errno;
  launch->step = step;
  return 127;
}

/* Ignored signals stay ignored over exec, and Node ignores SIGPIPE. By system call: newer C libraries lock
   around SIGABRT's action, and the lock's holder may be a thread of the agent. */
static void
reset_signals (void)
{
  static const uint64_t default_action[4];
  sigset_t none;

  for (int number = 1; number < NSIG; number++)
    syscall (SYS_rt_sigaction, number, default_action, NULL, sizeof (uint64_t));
  sigemptyset (&none);
  sigprocmask (SIG_SETMASK, &none, NULL);
}

static int
run_shim (void *arg)
{
  struct launch *launch = arg;
  const struct ts_spawn_spec *spec = launch->spec;

  if (dup2 (launch->null_fd, 0) < 0 || dup2 (launch->null_fd, 1) < 0
      || dup2 (launch->log_fd >= 0 ? launch->log_fd : launch->null_fd, 2) < 0 || dup2 (launch->ready_fd, READY_FD) < 0)
    return give_up (launch, "set up descriptors");
  if (syscall (SYS_close_range, READY_FD + 1, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
    return give_up (launch, "close descriptors");
  if (chdir ("/") < 0)
    return give_up (launch, "change directory");
  umask (022);
  reset_signals ();
  execve (spec->path, (char *const *) spec->argv, (char *const *) spec->env);
  return give_up (launch, "exec");
}

static pid_t
clone_shim (struct launch *launch)
{
  struct clone_args args = {
    .flags = CLONE_VM | CLONE_VFORK | CLONE_INTO_CGROUP,
    .exit_signal = SIGCHLD,
    .stack = (uintptr_t) launch->shim_stack,
    .stack_size = STACK_SIZE,
    .cgroup = (uint64_t) launch->unified_fd,
  };
  pid_t pid;

  if (launch->unified_fd < 0)
    return clone (run_shim, launch->shim_stack + STACK_SIZE, CLONE_VM | CLONE_VFORK | SIGCHLD, launch);
  pid = sys_clone3_run (&args, run_shim, launch);
  if (pid < 0)
    {
      errno = -pid;
      return -1;
    }
  return pid;
}

static int
run_intermediate (void *arg)
{
  struct launch *launch = arg;

  if (setsid () < 0)
    return give_up (launch, "start session");
  for (int i = 0; i < launch->task_count; i++)
    if (write (launch->task_fds[i], "0", 1) != 1)
      return give_up (launch, "join cgroup");
  if (launch->netns_fd >= 0 && setns (launch->netns_fd, CLONE_NEWNET) < 0)
    return give_up (launch, "join network namespace");
  launch->shim = clone_shim (launch);
  if (launch->shim < 0)
    return give_up (launch, "clone shim");
  return 0;
}

/* ---- in the caller ---- */

static int
clone_intermediate (struct launch *launch, struct ts_result *res)
{
  const size_t half = GUARD_SIZE + STACK_SIZE;
  sigset_t all, before;
  pid_t pid;
  int err;
  char *stacks = mmap (NULL, 2 * half, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);

  if (stacks == MAP_FAILED)
    return ts_fail (res, errno, "map stack", "%zu bytes", 2 * half);
  if (mprotect (stacks + GUARD_SIZE, STACK_SIZE, PROT_READ | PROT_WRITE) < 0
      || mprotect (stacks + half + GUARD_SIZE, STACK_SIZE, PROT_READ | PROT_WRITE) < 0)
    {
      err = ts_fail (res, errno, "map stack", "guard pages");
      munmap (stacks, 2 * half);
      return err;
    }
  launch->shim_stack = stacks + half + GUARD_SIZE;

  sigfillset (&all);
  pthread_sigmask (SIG_SETMASK, &all, &before);
  pid = clone (run_intermediate, stacks + half, CLONE_VM | CLONE_VFORK, launch);
  err = pid < 0 ? errno : 0;
  pthread_sigmask (SIG_SETMASK, &before, NULL);

  /* By its pid, never -1: the process has other children, which belong to libuv. */
  if (pid > 0)
    while (waitpid (pid, NULL, __WALL) < 0 && errno == EINTR)
      continue;
  munmap (stacks, 2 * half);
  if (err)
    return ts_fail (res, err, "clone", "intermediate process");
  return 0;
}

int
ts_spawn_shim (const struct ts_spawn_spec *spec, struct ts_spawned *out, struct ts_result *res)
{
  struct launch launch = {
    .spec = spec,
    .null_fd = -1,
    .log_fd = -1,
    .ready_fd = -1,
    .netns_fd = -1,
    .unified_fd = -1,
    .shim = -1,
  };
  int pipe_fds[2];
  cleanup_close int read_end = -1;
  int err = open_launch (&launch, res);

  if (err == 0 && pipe2 (pipe_fds, O_CLOEXEC) < 0)
    err = ts_fail (res, errno, "make pipe", "ready");
  if (err == 0)
    {
      read_end = pipe_fds[0];
      launch.ready_fd = move_up (pipe_fds[1]);
      err = launch.ready_fd < 0 ? ts_fail (res, errno, "make pipe", "ready") : clone_intermediate (&launch, res);
    }
  close_launch (&launch);
  if (err < 0)
    return err;
  if (launch.error)
    return ts_fail (res, launch.error, launch.step, "%s", spec->path);

  out->pid = launch.shim;
  out->start_time = read_start_time (launch.shim);
  /* It may have ended already: the pipe then says so. */
  if (out->start_time < 0)
    out->start_time = 0;
  out->ready_fd = steal_fd (&read_end);
  return 0;
}

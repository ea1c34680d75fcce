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
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "lib/cgroup.h"
#include "lib/cleanup.h"
#include "lib/process.h"
#include "lib/result.h"
#include "lib/syscalls.h"

enum
{
  STACK_SIZE = 64 * 1024,
  GUARD_SIZE = 4096 * 4,
  HALF_SIZE = GUARD_SIZE + STACK_SIZE,
  AGENT_FD = 3,
  /* Descriptors the child duplicates from are above all those it duplicates to. */
  FIRST_FREE_FD = 10,
  /* A shim needs 1 ms; one that the machine lets wait is waited for elsewhere. */
  READY_MS = 20,
};

struct launch
{
  const struct ts_spawn_spec *spec;
  char *shim_stack;
  int null_fd;
  int log_fd;
  int agent_fd; /* the shim's end of its connection to the agent */
  int netns_fd;
  int task_fds[MAX_HIERARCHIES]; /* "tasks" of each v1 cgroup */
  int task_count;
  int unified_fd;   /* folder of the v2 cgroup, or -1 */
  uint64_t ignored; /* a bit per signal */
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
  cleanup_closep (&launch->agent_fd);
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

static int
open_folder (struct launch *launch, const struct ts_cgroups *cgroups, int index, const char *path,
             struct ts_result *res)
{
  launch->unified_fd = open_cgroup_at (cgroups, index, path);
  return launch->unified_fd < 0 ? ts_fail (res, -launch->unified_fd, "open cgroup", "\"%s\" in %s", path,
                                           cgroups->layout.hierarchies[index].mount)
                                : 0;
}

/* Writing "0" to a v1 cgroup's "tasks" moves only the writer itself, which takes no lock that readers hold: 0.03 ms,
   where "cgroup.procs" waits 7 to 15 ms for a grace period. v2 has no such file: the shim is cloned into its cgroup. */
static int
open_tasks (struct launch *launch, const struct ts_cgroups *cgroups, int index, const char *path, struct ts_result *res)
{
  char tasks[PATH_MAX];
  int fd;

  snprintf (tasks, sizeof tasks, "%s%stasks", path, *path ? "/" : "");
  fd = move_up (openat (cgroups->root_fds[index], tasks, O_WRONLY | O_CLOEXEC));
  if (fd < 0 && errno == ENOENT && launch->unified_fd < 0)
    return open_folder (launch, cgroups, index, path, res);
  if (fd < 0)
    return ts_fail (res, errno, "open cgroup", "\"%s\" in %s", path, cgroups->layout.hierarchies[index].mount);
  launch->task_fds[launch->task_count++] = fd;
  return 0;
}

/* Where the pod has no cgroup of its own, that of all pods: in a hierarchy whose limits it does not use, and in those
   in which a service manager knows processes by their cgroup. What stayed in the caller's would end with its service,
   and not keep to what is set for all pods. */
static int
open_v1 (struct launch *launch, const struct ts_cgroups *cgroups, uint32_t made, struct ts_result *res)
{
  const struct cgroup_layout *layout = &cgroups->layout;
  int err = 0;

  for (int i = 0; err == 0 && i < layout->count + layout->bare_count; i++)
    err = open_tasks (launch, cgroups, i, made >> i & 1 ? launch->spec->cgroup : "", res);
  return err;
}

/* v2 wants of a cgroup that passes controllers on to its children that it holds no process itself. */
static int
open_v2 (struct launch *launch, struct ts_cgroups *cgroups, struct ts_result *res)
{
  static const struct ts_cgroup_limits none = { .cpu_shares = -1,
                                                .cpu_quota_us = -1,
                                                .cpu_period_us = -1,
                                                .memory_bytes = -1,
                                                .swap_bytes = -1,
                                                .pids = -1,
                                                .io_weight = -1 };
  char leaf[PATH_MAX];
  uint32_t made;
  int err;

  snprintf (leaf, sizeof leaf, "%s/shim", launch->spec->cgroup);
  err = ts_cgroup_create (cgroups, leaf, &none, &made, res);
  return err < 0 ? err : open_folder (launch, cgroups, 0, leaf, res);
}

static int
make_cgroups (struct launch *launch, struct ts_result *res)
{
  const struct ts_spawn_spec *spec = launch->spec;
  uint32_t made;
  int err;

  if (!spec->cgroup)
    return 0;
  err = ts_cgroup_create (spec->cgroups, spec->cgroup, &spec->limits, &made, res);
  if (err < 0)
    return err;
  return spec->cgroups->layout.unified ? open_v2 (launch, spec->cgroups, res)
                                       : open_v1 (launch, spec->cgroups, made, res);
}

static int
write_record (int folder, const char *text)
{
  static const char hidden[] = ".sandbox.json";
  cleanup_close int fd = openat (folder, hidden, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  ssize_t size = (ssize_t) strlen (text);

  if (fd < 0)
    return -errno;
  if (write (fd, text, (size_t) size) != size)
    return -ENOSPC;
  /* Whole, or not there: somebody may be killed in between. */
  return renameat (folder, hidden, folder, "sandbox.json") < 0 ? -errno : 0;
}

/* The folder with the record, or nothing. */
static int
make_folder (const struct ts_spawn_spec *spec, struct ts_result *res)
{
  cleanup_close int folder = -1;
  int err;

  if (!spec->folder)
    return 0;
  if (mkdir (spec->folder, 0700) < 0)
    return ts_fail (res, errno, "make sandbox's folder", "%s", spec->folder);
  folder = open (spec->folder, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  err = folder < 0 ? -errno : write_record (folder, spec->record);
  if (err == 0)
    return 0;
  if (folder >= 0)
    {
      unlinkat (folder, ".sandbox.json", 0);
      unlinkat (folder, "sandbox.json", 0);
    }
  rmdir (spec->folder);
  return ts_fail (res, -err, "make sandbox's folder", "%s", spec->folder);
}

static int
open_launch (struct launch *launch, struct ts_result *res)
{
  const struct ts_spawn_spec *spec = launch->spec;
  int err = make_folder (spec, res);

  if (err < 0)
    return err;
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
  return make_cgroups (launch, res);
}

/* ---- in the children ---- */

static int
give_up (struct launch *launch, const char *step)
{
  launch->error = errno;
  launch->step = step;
  return 127;
}

/* By system call: newer C libraries lock around SIGABRT's action, and the lock's holder may be a thread of the agent.
 */
static void
reset_signals (uint64_t ignored)
{
  static const uint64_t default_action[4];
  sigset_t none;

  for (int number = 1; number < NSIG; number++)
    if (ignored >> number & 1)
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
      || dup2 (launch->log_fd >= 0 ? launch->log_fd : launch->null_fd, 2) < 0 || dup2 (launch->agent_fd, AGENT_FD) < 0)
    return give_up (launch, "set up descriptors");
  if (syscall (SYS_close_range, AGENT_FD + 1, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
    return give_up (launch, "close descriptors");
  if (chdir ("/") < 0)
    return give_up (launch, "change directory");
  umask (022);
  reset_signals (launch->ignored);
  syscall (SYS_execveat, spec->program, "", spec->argv, spec->env, AT_EMPTY_PATH);
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

static uint64_t ignored_signals;

static void
find_ignored (void)
{
  for (int number = 1; number < NSIG; number++)
    {
      struct sigaction action;

      if (sigaction (number, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
        ignored_signals |= UINT64_C (1) << number;
    }
}

/* What is ignored stays so over exec: SIGPIPE by Node's doing, others by that of whoever started the agent. A process
   of Node can handle a signal later, but not ignore one, so looking once is enough. */
static uint64_t
get_ignored (void)
{
  static pthread_once_t once = PTHREAD_ONCE_INIT;

  pthread_once (&once, find_ignored);
  return ignored_signals;
}

/* Two stacks, each above a guard. One pair is kept for the next start: mapping and unmapping it each time makes every
   thread of the process forget what it knows of its memory. */
static _Atomic (char *) spare_stacks;

static char *
map_stacks (struct ts_result *res)
{
  char *stacks = mmap (NULL, 2 * HALF_SIZE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);

  if (stacks == MAP_FAILED)
    {
      ts_fail (res, errno, "map stack", "%d bytes", 2 * HALF_SIZE);
      return NULL;
    }
  if (mprotect (stacks + GUARD_SIZE, STACK_SIZE, PROT_READ | PROT_WRITE) < 0
      || mprotect (stacks + HALF_SIZE + GUARD_SIZE, STACK_SIZE, PROT_READ | PROT_WRITE) < 0)
    {
      ts_fail (res, errno, "map stack", "guard pages");
      munmap (stacks, 2 * HALF_SIZE);
      return NULL;
    }
  return stacks;
}

static char *
take_stacks (struct ts_result *res)
{
  char *stacks = atomic_exchange (&spare_stacks, NULL);

  return stacks ? stacks : map_stacks (res);
}

static void
give_back_stacks (char *stacks)
{
  stacks = atomic_exchange (&spare_stacks, stacks);
  if (stacks)
    munmap (stacks, 2 * HALF_SIZE);
}

static int
clone_intermediate (struct launch *launch, struct ts_result *res)
{
  sigset_t all, before;
  pid_t pid;
  int err;
  char *stacks = take_stacks (res);

  if (!stacks)
    return -res->error;
  launch->shim_stack = stacks + HALF_SIZE + GUARD_SIZE;

  sigfillset (&all);
  pthread_sigmask (SIG_SETMASK, &all, &before);
  pid = clone (run_intermediate, stacks + HALF_SIZE, CLONE_VM | CLONE_VFORK, launch);
  err = pid < 0 ? errno : 0;
  pthread_sigmask (SIG_SETMASK, &before, NULL);

  /* By its pid, never -1: the process has other children, which belong to libuv. */
  if (pid > 0)
    while (waitpid (pid, NULL, __WALL) < 0 && errno == EINTR)
      continue;
  give_back_stacks (stacks);
  if (err)
    return ts_fail (res, err, "clone", "intermediate process");
  return 0;
}

int
ts_open_program (const char *path, int32_t *out, struct ts_result *res)
{
  struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
  cleanup_close int fd = (int) syscall (SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);

  if (fd < 0)
    return ts_fail (res, errno, "open program", "%s", path);
  if (syscall (SYS_mount_setattr, fd, "", AT_EMPTY_PATH, &attr, sizeof attr) < 0)
    return ts_fail (res, errno, "seal program", "%s", path);
  *out = steal_fd (&fd);
  return 0;
}

/* Takes the "R" of a shim that listens. What it says instead stays unread. */
static bool
take_ready (int connection)
{
  struct pollfd readable = { .fd = connection, .events = POLLIN };
  char said;

  return poll (&readable, 1, READY_MS) == 1 && recv (connection, &said, 1, MSG_PEEK | MSG_DONTWAIT) == 1 && said == 'R'
         && recv (connection, &said, 1, MSG_DONTWAIT) == 1;
}

int
ts_spawn_shim (const struct ts_spawn_spec *spec, struct ts_spawned *out, struct ts_result *res)
{
  struct launch launch = {
    .spec = spec,
    .null_fd = -1,
    .log_fd = -1,
    .agent_fd = -1,
    .netns_fd = -1,
    .unified_fd = -1,
    .ignored = get_ignored (),
    .shim = -1,
  };
  int ends[2];
  cleanup_close int own_end = -1;
  int err = open_launch (&launch, res);

  if (err == 0 && socketpair (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) < 0)
    err = ts_fail (res, errno, "make connection", "to the shim");
  if (err == 0)
    {
      own_end = ends[0];
      launch.agent_fd = move_up (ends[1]);
      err = launch.agent_fd < 0 ? ts_fail (res, errno, "make connection", "to the shim")
                                : clone_intermediate (&launch, res);
    }
  close_launch (&launch);
  if (err < 0)
    return err;
  if (launch.error)
    return ts_fail (res, launch.error, launch.step, "%s", spec->argv[0]);

  out->pid = launch.shim;
  out->start_time = read_start_time (launch.shim);
  /* It may have ended already: the connection then says so. */
  if (out->start_time < 0)
    out->start_time = 0;
  out->ready = take_ready (own_end);
  out->connection = steal_fd (&own_end);
  return 0;
}

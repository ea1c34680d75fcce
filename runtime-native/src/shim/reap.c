/* The end of children. */
#include <errno.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "container/process.h"
#include "shim/shim.h"

uint32_t
ts_exit_code (int status)
{
  return WIFSIGNALED (status) ? 128 + (uint32_t) WTERMSIG (status) : (uint32_t) WEXITSTATUS (status);
}

static bool
hand_over (struct ts_shim *shim, pid_t pid, int status)
{
  for (struct ts_container *container = shim->containers; container; container = container->next)
    if (container->phase != TS_EXITED && (container->pid == pid || container->launch.pid == pid))
      {
        ts_container_ended (container, pid, status);
        return true;
      }
  for (struct ts_exec *exec = shim->execs; exec; exec = exec->next)
    if (!exec->ended && exec->pid == pid)
      {
        ts_exec_ended (exec, status);
        return true;
      }
  return ts_pod_init_ended (shim, pid);
}

static bool
is_launching (const struct ts_shim *shim, const struct ts_exec *wanted)
{
  for (const struct ts_exec *exec = shim->execs; exec; exec = exec->next)
    if (exec == wanted)
      return ts_is_launching (&exec->launch);
  return false;
}

/* A process that joined a container, or a pid namespace that containers share, tells its pid itself, and before its
   end: the report is there, perhaps unread. Its joiner may still be about to end and hold the channel open. */
static void
learn_pids (struct ts_shim *shim, pid_t ended)
{
  struct ts_exec *next;

  for (struct ts_container *container = shim->containers; container; container = container->next)
    if (ts_is_launching (&container->launch))
      ts_advance_launch (&container->launch);
  for (struct ts_exec *exec = shim->execs; exec; exec = next)
    {
      struct ts_launch *launch = &exec->launch;

      next = exec->next;
      if (!ts_is_launching (launch))
        continue;
      ts_advance_launch (launch);
      /* Freed if it failed; still launching only if it did not. */
      if (is_launching (shim, exec) && launch->ready && launch->pid == ended)
        ts_complete_launch (launch);
    }
}

static void
reap (struct ts_source *source, uint32_t events)
{
  struct ts_shim *shim = ts_owner (source, struct ts_shim, signals);
  struct signalfd_siginfo info;
  int status;
  pid_t pid;

  (void) events;
  while (read (source->fd, &info, sizeof info) > 0)
    continue;
  while ((pid = waitpid (-1, &status, WNOHANG)) > 0)
    if (!hand_over (shim, pid, status))
      {
        /* A joiner, an orphan, or an exec of which only this is new. */
        learn_pids (shim, pid);
        hand_over (shim, pid, status);
      }
}

int
ts_watch_children (struct ts_shim *shim, struct ts_failure *failure)
{
  sigset_t children;
  int err;

  /* Whoever ends the shim means the pod and uses SIGKILL or SHUTDOWN: a signal to a whole session is not for us. Nobody
     may be there any more to hear what it writes: the next agent finds the socket. */
  for (const int *number = ts_ignored_signals; *number; number++)
    signal (*number, SIG_IGN);
  sigemptyset (&children);
  sigaddset (&children, SIGCHLD);
  if (sigprocmask (SIG_BLOCK, &children, NULL) < 0)
    return ts_fail_step (failure, errno, "block SIGCHLD");
  shim->signals.fd = signalfd (-1, &children, SFD_NONBLOCK | SFD_CLOEXEC);
  if (shim->signals.fd < 0)
    return ts_fail_step (failure, errno, "make signalfd");
  shim->signals.ready = reap;
  err = ts_watch (shim->epoll, &shim->signals, EPOLLIN);
  return err < 0 ? ts_fail_step (failure, -err, "watch children") : 0;
}

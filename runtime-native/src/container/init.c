#include "container/init.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "container/channel.h"
#include "container/process.h"
#include "container/syscalls.h"

extern char **environ;

enum
{
  /* Of a first process that cannot even begin; as a shell that cannot execute. */
  EXIT_NO_INIT = 126,
};

/* "tessera-init COMMAND ARGUMENT...": the kernel's limit is on their length, the stack's room for the pointers is what
   it was for the command's own. */
int
ts_exec_init (const struct ts_process *process, struct ts_failure *failure)
{
  size_t count = 0;
  char **argv;

  while (process->argv[count])
    count++;
  argv = calloc (count + 2, sizeof *argv);
  if (!argv)
    return ts_fail_step (failure, ENOMEM, "run init");
  argv[0] = (char[]){ TS_INIT_NAME };
  for (size_t i = 0; i < count; i++)
    argv[i + 1] = process->argv[i];
  /* The command's own failure is told over it. */
  if (fcntl (TS_CHANNEL_FD, F_SETFD, 0) == 0)
    syscall (SYS_execveat, TS_PROGRAM_FD, "", argv, process->env, AT_EMPTY_PATH);
  ts_fail_step (failure, errno, "run init");
  free (argv);
  return -failure->error;
}

#define BIT(number) (1ULL << ((number) -1))

/* A bit per signal, as the kernel takes them: musl's sets leave out what it uses itself, and that may be sent as well.
   Not those that a process brings upon itself. */
static const uint64_t forwarded
    = ~(BIT (SIGSEGV) | BIT (SIGBUS) | BIT (SIGFPE) | BIT (SIGILL) | BIT (SIGTRAP) | BIT (SIGABRT) | BIT (SIGSYS));

static int
set_mask (int how, const uint64_t *set, uint64_t *before)
{
  return (int) syscall (SYS_rt_sigprocmask, how, set, before, sizeof *set);
}

/* A process group of its own, in the foreground when there is a terminal: what is typed there is meant for it. */
static _Noreturn void
run_command (char *const *argv, const uint64_t *mask)
{
  struct ts_failure failure = { 0 };

  if (setpgid (0, 0) < 0)
    ts_fail_step (&failure, errno, "make process group");
  /* Signals are blocked still, so SIGTTOU does not stop it. */
  else if (isatty (0) && tcsetpgrp (0, getpid ()) < 0 && errno != ENOTTY)
    ts_fail_step (&failure, errno, "take the foreground");
  else if (set_mask (SIG_SETMASK, mask, NULL) < 0)
    ts_fail_step (&failure, errno, "unblock signals");
  else
    ts_exec_command (argv, environ, -1, &failure);
  ts_give_up (&failure);
}

/* Reaps all that have ended. Ends with the command. */
static void
reap (pid_t command)
{
  int status;
  pid_t pid;

  while ((pid = waitpid (-1, &status, WNOHANG)) > 0)
    if (pid == command)
      _exit (WIFSIGNALED (status) ? 128 + WTERMSIG (status) : WEXITSTATUS (status));
}

void
ts_run_init (char *const *argv)
{
  struct ts_failure failure = { 0 };
  uint64_t before;
  pid_t command;

  if (!*argv || fcntl (TS_CHANNEL_FD, F_SETFD, FD_CLOEXEC) < 0)
    _exit (EXIT_NO_INIT);
  prctl (PR_SET_NAME, TS_INIT_NAME);
  if (set_mask (SIG_BLOCK, &forwarded, &before) < 0 || (command = fork ()) < 0)
    {
      ts_fail_step (&failure, errno, "start the command");
      ts_give_up (&failure);
    }
  if (command == 0)
    run_command (argv, &before);
  close (TS_CHANNEL_FD);
  for (;;)
    {
      int number = (int) syscall (SYS_rt_sigtimedwait, &forwarded, NULL, NULL, sizeof forwarded);

      if (number == SIGCHLD)
        reap (command);
      /* Not reaped yet, so the pid is still its. */
      else if (number > 0)
        kill (command, number);
    }
}

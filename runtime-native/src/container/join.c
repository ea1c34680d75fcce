/* The child's half of an exec. Three processes take part:

     shim --clone--> joiner: cgroups, setns into everything of the container's first process
       |                | clone (CLONE_PARENT): only a new process is in the joined pid namespace
       |              process: the shim's child too, so that its end is seen and a killed shim takes it along
*/
#include <errno.h>
#include <sys/stat.h>

#include "container/process.h"
#include "container/setup.h"
#include "container/syscalls.h"
#include "lib/cleanup.h"

static int
enter_namespaces (struct ts_failure *failure)
{
  const int all = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWCGROUP | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNET;

  if (setns (TS_NAMESPACE_FD, all) == 0)
    return 0;
  if (errno == ESRCH)
    return ts_refuse (failure, TS_NOT_FOUND, ESRCH, "enter container", "it has ended");
  return ts_fail_step (failure, errno, "enter container");
}

static int
open_terminal (const struct ts_process *process, struct ts_failure *failure)
{
  cleanup_close int multiplexer
      = sys_openat2 (AT_FDCWD, "/dev/pts/ptmx", O_RDWR | O_NOCTTY, RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS);

  if (multiplexer < 0)
    return ts_fail (failure, errno, "open terminal", "/dev/pts/ptmx");
  return ts_open_terminal (multiplexer, process, failure);
}

static int
become (const struct ts_join_spec *spec, struct ts_failure *failure)
{
  int err = spec->process->terminal ? open_terminal (spec->process, failure) : 0;

  if (err == 0)
    err = ts_begin_session (spec->process, failure);
  if (err == 0)
    err = ts_enter_cwd (spec->process->cwd, failure);
  return err < 0 ? err
                 : ts_become_command (spec->process, spec->security, spec->tools < 0 ? -1 : TS_PROGRAM_FD, failure);
}

void
ts_join_child (const struct ts_join_spec *spec, int channel, const int stdio[3])
{
  struct ts_failure failure = { 0 };
  const int kept[TS_KEPT_COUNT] = { spec->pidfd, spec->tools };
  int err = ts_arrange_descriptors (channel, stdio, kept, &failure);
  pid_t pid;

  if (err == 0)
    err = ts_join_cgroups (spec->cgroup_dirs, &failure);
  if (err == 0)
    err = ts_set_oom_score (spec->oom_score_adj, &failure);
  if (err == 0)
    err = enter_namespaces (&failure);
  if (err < 0)
    ts_give_up (&failure);

  close (TS_NAMESPACE_FD);
  pid = sys_clone (CLONE_PARENT | SIGCHLD, NULL);
  if (pid > 0)
    _exit (0);
  if (pid < 0)
    ts_fail_step (&failure, errno, "clone into container");
  else
    become (spec, &failure);
  ts_give_up (&failure);
}

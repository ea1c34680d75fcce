/* tessera-shim --id POD --run-dir RUN/POD --hostname NAME [--host-ipc] [--host-network] [--share-pids]
                [--copy-tools FILE] [--sysctl NAME=VALUE]...

   Started by the agent as nobody's child, in the pod's network namespace and its cgroup. Descriptor 3 is a connection
   to the agent: the shim writes "R" there when it listens on RUN/POD/shim.sock, and takes requests from then on, or why
   it cannot. Under two other names it is a first process inside of pods (container/init.h). */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "container/init.h"
#include "container/syscalls.h"
#include "shim/shim.h"

enum
{
  AGENT_FD = 3,
};

static int
parse_options (int argc, char **argv, struct ts_sandbox_options *options, struct ts_failure *failure)
{
  char **sysctls = calloc ((size_t) argc + 1, sizeof *sysctls);

  if (!sysctls)
    return ts_fail_step (failure, ENOMEM, "read options");
  options->sysctls = sysctls;
  for (int i = 1; i < argc; i++)
    {
      const char *value = i + 1 < argc ? argv[i + 1] : NULL;

      if (strcmp (argv[i], "--host-ipc") == 0)
        options->host_ipc = true;
      else if (strcmp (argv[i], "--host-network") == 0)
        options->host_network = true;
      else if (strcmp (argv[i], "--share-pids") == 0)
        options->share_pids = true;
      else if (!value)
        return ts_refuse (failure, TS_INVALID_ARGUMENT, EINVAL, "read options", "%s", argv[i]);
      else if (strcmp (argv[i], "--id") == 0)
        options->id = argv[++i];
      else if (strcmp (argv[i], "--run-dir") == 0)
        options->run_dir = argv[++i];
      else if (strcmp (argv[i], "--hostname") == 0)
        options->hostname = argv[++i];
      else if (strcmp (argv[i], "--copy-tools") == 0)
        options->copy_tools = argv[++i];
      else if (strcmp (argv[i], "--sysctl") == 0)
        *sysctls++ = argv[++i];
      else
        return ts_refuse (failure, TS_INVALID_ARGUMENT, EINVAL, "read options", "%s", argv[i]);
    }
  if (!options->id || !options->run_dir || !options->hostname)
    return ts_refuse (failure, TS_INVALID_ARGUMENT, EINVAL, "read options", "--id, --run-dir, --hostname are needed");
  return 0;
}

static int
start (struct ts_shim *shim, const struct ts_sandbox_options *options, struct ts_failure *failure)
{
  int err;

  shim->id = options->id;
  shim->run_dir = options->run_dir;
  shim->copy_tools = options->copy_tools;
  shim->run_dirfd = sys_open (options->run_dir, O_PATH | O_DIRECTORY);
  if (shim->run_dirfd < 0)
    return ts_fail (failure, errno, "open run folder", "%s", options->run_dir);
  shim->program = sys_open ("/proc/self/exe", O_PATH);
  if (shim->program < 0)
    return ts_fail_step (failure, errno, "open own program");
  shim->epoll = epoll_create1 (EPOLL_CLOEXEC);
  if (shim->epoll < 0)
    return ts_fail_step (failure, errno, "make epoll");
  err = ts_watch_children (shim, failure);
  if (err == 0)
    err = ts_enter_sandbox (options, shim, failure);
  return err < 0 ? err : ts_listen (shim, failure);
}

static void
tell (const struct ts_failure *failure)
{
  char text[512];
  int size = snprintf (text, sizeof text, "%s: %s: %s", failure->step, failure->operand, strerror (failure->error));

  if (write (AGENT_FD, text, (size_t) size) < 0)
    _exit (1);
}

int
main (int argc, char **argv)
{
  struct ts_sandbox_options options = { 0 };
  struct ts_failure failure = { 0 };
  struct ts_shim shim = { .listener.fd = -1, .signals.fd = -1, .stall_timer.fd = -1, .pod_init.pidfd = -1 };
  int err;

  if (argc > 0 && strcmp (argv[0], TS_INIT_NAME) == 0)
    ts_run_init (argv + 1);
  if (argc > 0 && strcmp (argv[0], TS_PAUSE_NAME) == 0)
    ts_run_pause ();

  /* Every file is made with the mode it is to have. */
  umask (0);
  fcntl (AGENT_FD, F_SETFD, FD_CLOEXEC);
  prctl (PR_SET_NAME, "tessera-shim");
  err = parse_options (argc, argv, &options, &failure);
  if (err == 0)
    err = start (&shim, &options, &failure);
  if (err < 0)
    {
      tell (&failure);
      return 1;
    }
  if (write (AGENT_FD, "R", 1) == 1)
    ts_begin_connection (&shim, AGENT_FD, true);
  else
    close (AGENT_FD);
  for (;;)
    ts_run_once (shim.epoll);
}

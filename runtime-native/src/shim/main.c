/* tessera-shim --id POD --run-dir RUN/POD --hostname NAME [--host-ipc] [--host-network] [--share-pids]
                [--copy-tools FILE] [--sysctl NAME=VALUE]...

   Started by the agent as nobody's child, in the pod's network namespace and its cgroup. Writes "R" to descriptor 3
   when it listens on RUN/POD/shim.sock, or why it cannot. Under two other names it is a first process inside of pods
   (container/init.h). */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "container/init.h"
#include "container/mounts.h"
#include "container/syscalls.h"
#include "lib/cleanup.h"
#include "shim/shim.h"

enum
{
  READY_FD = 3,
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

/* Runs the program again from a read-only mount of its own, which /proc/PID/exe then leads to: no container that gets
   hold of it can write to the node's file (CVE-2019-5736). */
static int
seal_program (char **argv, struct ts_failure *failure)
{
  static char *const no_environment[] = { NULL };
  struct statvfs fs;
  cleanup_close int program = -1;
  int err;

  if (statvfs ("/proc/self/exe", &fs) < 0)
    return ts_fail (failure, errno, "open program", "/proc/self/exe");
  if (fs.f_flag & ST_RDONLY)
    return 0;
  program = sys_open_tree (AT_FDCWD, "/proc/self/exe", OPEN_TREE_CLONE);
  err = program < 0 ? -errno : ts_set_attributes (program, 0, MOUNT_ATTR_RDONLY);
  if (err < 0)
    return ts_fail_step (failure, -err, "seal program");
  syscall (SYS_execveat, program, "", argv, no_environment, AT_EMPTY_PATH);
  return ts_fail_step (failure, errno, "run sealed program");
}

static int
start (struct ts_shim *shim, const struct ts_sandbox_options *options, struct ts_failure *failure)
{
  int err;

  shim->id = options->id;
  shim->run_dir = options->run_dir;
  shim->copy_tools = options->copy_tools;
  shim->run_dirfd = open (options->run_dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (shim->run_dirfd < 0)
    return ts_fail (failure, errno, "open run folder", "%s", options->run_dir);
  shim->program = open ("/proc/self/exe", O_PATH | O_CLOEXEC);
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

  if (write (READY_FD, text, (size_t) size) < 0)
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
  err = seal_program (argv, &failure);
  fcntl (READY_FD, F_SETFD, FD_CLOEXEC);
  prctl (PR_SET_NAME, "tessera-shim");
  if (err == 0)
    err = parse_options (argc, argv, &options, &failure);
  if (err == 0)
    err = start (&shim, &options, &failure);
  if (err < 0)
    {
      tell (&failure);
      return 1;
    }
  /* Nobody may be listening any more: the next agent finds the socket. */
  signal (SIGPIPE, SIG_IGN);
  if (write (READY_FD, "R", 1) == 1 || errno == EPIPE)
    close (READY_FD);
  for (;;)
    ts_run_once (shim.epoll);
}

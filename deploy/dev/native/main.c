/* tessera-host: the init of a node of a development cluster, and the supervisor of its control plane.

     tessera-host                 returns when the rest stands, or with its error
       `- launcher                joins the cgroups, then gone
            `- init               PID 1 of the node, or the service's supervisor
                 `- command       the agent, or the control plane

   The namespaces must be made by a process that is in the cgroups already: a cgroup namespace begins where
   its maker is. */
#include "cgroup.h"
#include "fail.h"
#include "file.h"
#include "node.h"
#include "options.h"
#include "state.h"
#include "supervise.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static const char ready[] = "ready";

/* Opens the folder of a file that may not exist yet, and gives the file's name in there. */
static int
open_folder_of (const char *path, const char **name, struct failure *failure)
{
  char *copy = strdup (path);
  const char *slash = strrchr (path, '/');

  if (copy == NULL)
    return fail (failure, errno, "allocate memory");
  *name = slash == NULL ? path : slash + 1;
  int fd = open (dirname (copy), O_PATH | O_DIRECTORY | O_CLOEXEC);
  free (copy);
  if (fd < 0)
    return fail (failure, errno, "open the folder of %s", path);
  return fd;
}

/* Everything that needs the machine's own view of things, before it changes. */
static int
open_machine (const struct options *options, struct supervisor *supervisor, struct failure *failure)
{
  struct state *state = &supervisor->state;

  supervisor->proc = open ("/proc", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (supervisor->proc < 0)
    return fail (failure, errno, "open /proc");
  supervisor->log_folder = open_folder_of (options->log_path, &supervisor->log_name, failure);
  if (supervisor->log_folder < 0)
    return -1;
  state->folder = open_folder_of (options->state_path, &state->name, failure);
  return state->folder < 0 ? -1 : 0;
}

/* From here on the process is known by its state file; what fails afterwards ends it. */
static int
set_up (struct supervisor *supervisor, struct failure *failure)
{
  if (identity_read (supervisor->proc, &supervisor->state.self) < 0)
    return fail (failure, errno, "read who I am");
  if (state_write (&supervisor->state, failure) < 0)
    return -1;
  if (chdir ("/") < 0)
    return fail (failure, errno, "change to /");
  if (!supervisor->options->is_node)
    {
      /* What the command leaves behind is reaped here. */
      prctl (PR_SET_CHILD_SUBREAPER, 1);
      return 0;
    }
  if (node_detach_mounts (failure) < 0)
    return -1;
  return node_enter (supervisor->options, supervisor->hierarchies, failure);
}

static void __attribute__ ((noreturn)) run_init (struct supervisor *supervisor, int pipe)
{
  struct failure failure;

  umask (022);
  supervise_block_signals ();
  if (set_up (supervisor, &failure) < 0 || supervise_open_log (supervisor, &failure) < 0)
    {
      dprintf (pipe, "%s", failure.text);
      state_remove (&supervisor->state);
      _exit (1);
    }
  dprintf (pipe, "%s", ready);
  close (pipe);
  _exit (supervise (supervisor));
}

/* Returns the first descriptor behind those that this process was given, which begin at 3 and have no gaps:
   locks, to be held until all stands. Whatever else is open is closed. */
static unsigned
end_of_locks (void)
{
  int first = open ("/dev/null", O_RDONLY | O_CLOEXEC);
  unsigned end = first < 3 ? 3 : (unsigned)first;

  syscall (SYS_close_range, end, ~0U, 0U);
  return end;
}

static void __attribute__ ((noreturn)) run_launcher (struct supervisor *supervisor, unsigned locks, int pipe)
{
  struct failure failure;
  const int flags = supervisor->options->is_node ? node_namespaces : 0;

  /* Nothing of whoever started this stays open in a program that runs for days. */
  if (locks > 3)
    syscall (SYS_close_range, 3U, locks - 1, 0U);
  setsid ();
  if (cgroup_join (supervisor->hierarchies, supervisor->options->cgroup, &failure) < 0)
    {
      dprintf (pipe, "%s", failure.text);
      _exit (1);
    }
  long pid = syscall (SYS_clone, flags | SIGCHLD, 0, 0, 0, 0);
  if (pid == 0)
    run_init (supervisor, pipe);
  if (pid < 0)
    {
      fail (&failure, errno, "make the namespaces");
      dprintf (pipe, "%s", failure.text);
    }
  _exit (pid < 0);
}

/* Waits for the word of init, or for its end without one. */
static int
await_ready (int pipe, struct failure *failure)
{
  size_t length = 0;
  ssize_t got;

  while (length < sizeof failure->text - 1
         && ((got = read (pipe, failure->text + length, sizeof failure->text - 1 - length)) > 0
             || (got < 0 && errno == EINTR)))
    length += got > 0 ? (size_t)got : 0;
  failure->text[length] = '\0';
  if (strcmp (failure->text, ready) == 0)
    return 0;
  return length > 0 ? -1 : fail (failure, 0, "ended while it was starting");
}

static int
launch (const struct options *options, unsigned locks, struct failure *failure)
{
  struct hierarchies hierarchies;
  struct supervisor supervisor = { .options = options, .hierarchies = &hierarchies };
  int ends[2];

  if (hierarchies_read (&hierarchies, failure) < 0 || open_machine (options, &supervisor, failure) < 0)
    return -1;
  if (pipe2 (ends, O_CLOEXEC) < 0)
    return fail (failure, errno, "make a pipe");
  pid_t pid = fork ();
  if (pid < 0)
    return fail (failure, errno, "fork");
  if (pid == 0)
    run_launcher (&supervisor, locks, ends[1]);
  close (ends[1]);
  int result = await_ready (ends[0], failure);
  while (waitpid (pid, NULL, 0) < 0 && errno == EINTR)
    ;
  return result;
}

int
main (int argc, char **argv)
{
  struct options options;
  struct failure failure;
  unsigned locks;

  if (argc == 2 && strcmp (argv[1], "--help") == 0)
    return fputs (options_usage, stdout) < 0;
  locks = end_of_locks ();
  if (options_parse (argc, argv, &options, &failure) < 0 || launch (&options, locks, &failure) < 0)
    {
      fprintf (stderr, "tessera-host: %s\n", failure.text);
      return 1;
    }
  return 0;
}

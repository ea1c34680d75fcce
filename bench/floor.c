/*
 * The floor below every container runtime, and a launcher for those that are
 * programs.
 *
 *   floor COUNT namespaces          clone into new namespaces, exec /bin/true,
 * wait floor COUNT run PROGRAM ARG...  run the program, which costs no more
 * than it does from a shell
 *
 * One after another; prints the microseconds that each took, one line each.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double
now_us (void)
{
  struct timespec now;
  clock_gettime (CLOCK_MONOTONIC, &now);
  return (double) now.tv_sec * 1e6 + (double) now.tv_nsec / 1e3;
}

static int
fail (const char *what)
{
  fprintf (stderr, "floor: %s: %s\n", what, strerror (errno));
  return 1;
}

static pid_t
start_program (char **argv)
{
  pid_t pid;
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init (&actions);
  /* What it leaves running shall not hold the pipe that its caller reads. */
  posix_spawn_file_actions_addopen (&actions, 0, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen (&actions, 1, "/dev/null", O_WRONLY, 0);
  errno = posix_spawn (&pid, argv[0], &actions, NULL, argv, environ);
  posix_spawn_file_actions_destroy (&actions);
  return errno == 0 ? pid : -1;
}

static pid_t
start_in_namespaces (void)
{
  char *argv[] = { "/bin/true", NULL };
  struct clone_args clone = {
    .flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP | CLONE_NEWNET,
    .exit_signal = SIGCHLD,
  };
  pid_t pid = (pid_t) syscall (SYS_clone3, &clone, sizeof (clone));
  if (pid == 0)
    {
      execv (argv[0], argv);
      _exit (127);
    }
  return pid;
}

int
main (int argc, char **argv)
{
  int run = argc > 3 && strcmp (argv[2], "run") == 0;
  if (!run && !(argc == 3 && strcmp (argv[2], "namespaces") == 0))
    {
      fprintf (stderr, "usage: floor COUNT namespaces | floor COUNT run PROGRAM ARG...\n");
      return 2;
    }
  for (long left = strtol (argv[1], NULL, 10); left > 0; left--)
    {
      double start = now_us ();
      pid_t pid = run ? start_program (argv + 3) : start_in_namespaces ();
      if (pid < 0)
        return fail ("start");
      int status;
      if (waitpid (pid, &status, 0) < 0)
        return fail ("wait");
      if (status != 0)
        {
          fprintf (stderr, "floor: the program ended with status %x\n", (unsigned) status);
          return 1;
        }
      printf ("%.1f\n", now_us () - start);
    }
  return 0;
}

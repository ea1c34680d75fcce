/* Installs the filter that stands in the file argv[1], then makes the system calls that it reads from stdin,
   one per line: NUMBER [ARGUMENT...]. Prints the errno of each, 0 when it succeeded. Each call runs in a
   child, so that one which succeeds does no harm to the next. Numbers may be hexadecimal. */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static struct sock_filter filter[BPF_MAXINSNS];

static int
install_filter (const char *path)
{
  struct sock_fprog program = { .filter = filter };
  int fd = open (path, O_RDONLY | O_CLOEXEC);
  ssize_t length = fd < 0 ? -1 : read (fd, filter, sizeof filter);

  if (length <= 0 || prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
    return -1;
  program.len = (unsigned short) ((size_t) length / sizeof *filter);
  return (int) syscall (SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}

static void
make_call (char *line)
{
  long number, arguments[6] = { 0 };
  char *at = line;
  long answer;

  number = (long) strtoull (at, &at, 0);
  for (int i = 0; i < 6; i++)
    arguments[i] = (long) strtoull (at, &at, 0);
  errno = 0;
  answer = syscall (number, arguments[0], arguments[1], arguments[2], arguments[3], arguments[4], arguments[5]);
  /* A clone that worked comes back twice. */
  if (answer == 0 && (number == SYS_clone || number == SYS_fork))
    _exit (0);
  printf ("%d\n", answer < 0 ? errno : 0);
  fflush (stdout);
}

int
main (int argc, char **argv)
{
  char line[256];

  if (argc != 2 || install_filter (argv[1]) < 0)
    {
      perror ("install filter");
      return 1;
    }
  setvbuf (stdin, NULL, _IONBF, 0);
  while (fgets (line, sizeof line, stdin))
    {
      pid_t child = fork ();

      if (child == 0)
        {
          make_call (line);
          _exit (0);
        }
      if (child < 0 || waitpid (child, NULL, 0) != child)
        return 1;
    }
  return 0;
}

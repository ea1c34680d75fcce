#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "container/syscalls.h"
#include "lib/cleanup.h"
#include "shim/shim.h"

/* The process's user may open its pipes again through /dev/stdout. */
static int
open_pipe (int ends[2], const struct ts_process *process)
{
  if (pipe2 (ends, O_CLOEXEC) < 0)
    return -errno;
  return fchown (ends[0], process->uid, process->gid) < 0 ? -errno : 0;
}

int
ts_open_stdio (struct ts_stdio *stdio, const struct ts_process *process, bool stdin_open)
{
  int err = 0;

  *stdio = (struct ts_stdio){ { -1, -1 }, { -1, -1 }, { -1, -1 } };
  if (stdin_open && !process->terminal)
    err = open_pipe (stdio->in, process);
  else if ((stdio->in[0] = sys_open ("/dev/null", O_RDWR)) < 0)
    err = -errno;
  if (err == 0 && !process->terminal)
    err = open_pipe (stdio->out, process);
  if (err == 0 && !process->terminal)
    err = open_pipe (stdio->err, process);
  return err;
}

void
ts_child_stdio (const struct ts_stdio *stdio, int fds[3])
{
  fds[0] = stdio->in[0];
  fds[1] = stdio->out[1] >= 0 ? stdio->out[1] : stdio->in[0];
  fds[2] = stdio->err[1] >= 0 ? stdio->err[1] : stdio->in[0];
}

void
ts_close_stdio (struct ts_stdio *stdio)
{
  int *fds[] = { stdio->in, stdio->out, stdio->err };

  for (size_t i = 0; i < 3; i++)
    {
      cleanup_closep (&fds[i][0]);
      cleanup_closep (&fds[i][1]);
    }
}

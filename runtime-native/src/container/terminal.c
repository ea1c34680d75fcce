/* The terminal of a container or an exec comes from the container's own devpts, so that its name is right inside. */
#include <errno.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>

#include "container/channel.h"
#include "container/process.h"
#include "container/setup.h"
#include "container/syscalls.h"
#include "lib/cleanup.h"

#define DEVPTS_MAGIC 0x1cd1

#ifndef TIOCGPTPEER
#define TIOCGPTPEER _IO ('T', 0x41)
#endif

/* In an exec the path was the container's to prepare: only the kernel's own file will do. */
static int
check_multiplexer (int fd)
{
  struct statfs fs;
  struct stat found;

  if (fstatfs (fd, &fs) < 0 || fstat (fd, &found) < 0)
    return -errno;
  if (fs.f_type != DEVPTS_MAGIC || !S_ISCHR (found.st_mode) || found.st_rdev != makedev (5, 2))
    return -ENOTTY;
  return 0;
}

static int
set_size (int fd, const struct ts_process *process)
{
  struct winsize size = { .ws_col = process->columns, .ws_row = process->rows };

  if (!size.ws_col || !size.ws_row)
    return 0;
  return ioctl (fd, TIOCSWINSZ, &size) < 0 ? -errno : 0;
}

int
ts_open_terminal (int multiplexer, const struct ts_process *process, struct ts_failure *failure)
{
  const int unlock = 0;
  cleanup_close int terminal = -1;
  int err = check_multiplexer (multiplexer);

  if (err < 0)
    return ts_fail (failure, -err, "open terminal", "/dev/pts/ptmx");
  if (ioctl (multiplexer, TIOCSPTLCK, &unlock) < 0)
    return ts_fail_step (failure, errno, "unlock terminal");
  terminal = ioctl (multiplexer, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (terminal < 0)
    return ts_fail_step (failure, errno, "open terminal");
  if (fchown (terminal, process->uid, (gid_t) -1) < 0)
    return ts_fail (failure, errno, "give terminal to user", "%u", (unsigned) process->uid);
  err = set_size (multiplexer, process);
  if (err == 0)
    err = ts_channel_send (TS_CHANNEL_FD, TS_REPORT_TERMINAL, NULL, multiplexer);
  if (err < 0)
    return ts_fail_step (failure, -err, "hand terminal over");
  for (int fd = 0; fd < 3; fd++)
    if (dup2 (terminal, fd) < 0)
      return ts_fail (failure, errno, "set up descriptors", "terminal");
  return 0;
}

int
ts_begin_session (const struct ts_process *process, struct ts_failure *failure)
{
  if (setsid () < 0)
    return ts_fail_step (failure, errno, "start session");
  if (process->terminal && ioctl (0, TIOCSCTTY, 0) < 0)
    return ts_fail_step (failure, errno, "take controlling terminal");
  return 0;
}

/* A container sees descriptors 0, 1 and 2 and nothing else, from before its namespaces are entered. */
#include <errno.h>
#include <linux/close_range.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "container/process.h"
#include "container/setup.h"
#include "container/syscalls.h"

/* Out of the way of those that are put into their places. */
static int
move_up (const int from[TS_KEPT_COUNT], int to[TS_KEPT_COUNT])
{
  for (int i = 0; i < TS_KEPT_COUNT; i++)
    {
      to[i] = from[i] < 0 ? -1 : fcntl (from[i], F_DUPFD_CLOEXEC, TS_KEPT_FD + TS_KEPT_COUNT);
      if (from[i] >= 0 && to[i] < 0)
        return -errno;
    }
  return 0;
}

int
ts_arrange_descriptors (int channel, const int stdio[3], const int kept[TS_KEPT_COUNT], struct ts_failure *failure)
{
  int moved[TS_KEPT_COUNT];
  int err = move_up (kept, moved);

  if (err < 0)
    return ts_fail (failure, -err, "set up descriptors", "kept ones");
  /* Nobody in the container may trace us or open what we hold, before execve lifts it again (CVE-2016-9962). */
  if (prctl (PR_SET_DUMPABLE, 0) < 0)
    return ts_fail_step (failure, errno, "clear dumpable");
  for (int i = 0; i < 3; i++)
    if (dup2 (stdio[i], i) < 0)
      return ts_fail (failure, errno, "set up descriptors", "%d", i);
  if (dup2 (channel, TS_CHANNEL_FD) < 0 || fcntl (TS_CHANNEL_FD, F_SETFD, FD_CLOEXEC) < 0)
    return ts_fail (failure, errno, "set up descriptors", "channel");
  for (int i = 0; i < TS_KEPT_COUNT; i++)
    if (moved[i] >= 0 && dup3 (moved[i], TS_KEPT_FD + i, O_CLOEXEC) < 0)
      return ts_fail (failure, errno, "set up descriptors", "%d", TS_KEPT_FD + i);
  err = ts_close_descriptors (kept);
  return err < 0 ? ts_fail_step (failure, -err, "close descriptors") : 0;
}

int
ts_close_descriptors (const int kept[TS_KEPT_COUNT])
{
  for (int i = 0; i < TS_KEPT_COUNT; i++)
    if (kept[i] < 0 && close (TS_KEPT_FD + i) < 0 && errno != EBADF)
      return -errno;
  return sys_close_range (TS_KEPT_FD + TS_KEPT_COUNT, 0) < 0 ? -errno : 0;
}

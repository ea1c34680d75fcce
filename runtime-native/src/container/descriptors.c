/* A container sees descriptors 0, 1 and 2 and nothing else, from before its namespaces are entered. */
#include <errno.h>
#include <linux/close_range.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "container/process.h"
#include "container/setup.h"
#include "container/syscalls.h"

int
ts_arrange_descriptors (int channel, const int stdio[3], int kept, struct ts_failure *failure)
{
  /* Nobody in the container may trace us or open what we hold, before execve lifts it again (CVE-2016-9962). */
  if (prctl (PR_SET_DUMPABLE, 0) < 0)
    return ts_fail_step (failure, errno, "clear dumpable");
  for (int i = 0; i < 3; i++)
    if (dup2 (stdio[i], i) < 0)
      return ts_fail (failure, errno, "set up descriptors", "%d", i);
  if (dup2 (channel, TS_CHANNEL_FD) < 0 || fcntl (TS_CHANNEL_FD, F_SETFD, FD_CLOEXEC) < 0)
    return ts_fail (failure, errno, "set up descriptors", "channel");
  if (kept >= 0 && (dup2 (kept, TS_KEPT_FD) < 0 || fcntl (TS_KEPT_FD, F_SETFD, FD_CLOEXEC) < 0))
    return ts_fail (failure, errno, "set up descriptors", "container");
  if (sys_close_range (kept >= 0 ? TS_KEPT_FD + 1 : TS_KEPT_FD, 0) < 0)
    return ts_fail_step (failure, errno, "close descriptors");
  return 0;
}

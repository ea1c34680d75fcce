/* A container sees descriptors 0, 1 and 2 and nothing else, from before its namespaces are entered. */
#include <errno.h>
#include <linux/close_range.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "container/process.h"
#include "container/setup.h"
#include "container/syscalls.h"

/* Out of the way of those that are put in their places before it. */
static int
lift (int fd)
{
  return fd < 0 ? fd : fcntl (fd, F_DUPFD_CLOEXEC, TS_TOOLS_FD + 1);
}

static bool
put (int fd, int place)
{
  return dup2 (fd, place) == place && fcntl (place, F_SETFD, FD_CLOEXEC) == 0;
}

int
ts_arrange_descriptors (int channel, const int stdio[3], int kept, int tools, struct ts_failure *failure)
{
  const int last = tools >= 0 ? TS_TOOLS_FD : kept >= 0 ? TS_KEPT_FD : TS_CHANNEL_FD;

  /* Nobody in the container may trace us or open what we hold, before execve lifts it again (CVE-2016-9962). */
  if (prctl (PR_SET_DUMPABLE, 0) < 0)
    return ts_fail_step (failure, errno, "clear dumpable");
  for (int i = 0; i < 3; i++)
    if (dup2 (stdio[i], i) < 0)
      return ts_fail (failure, errno, "set up descriptors", "%d", i);
  kept = lift (kept);
  tools = lift (tools);
  if (!put (channel, TS_CHANNEL_FD))
    return ts_fail (failure, errno, "set up descriptors", "channel");
  if (last >= TS_KEPT_FD && !put (kept, TS_KEPT_FD))
    return ts_fail (failure, errno, "set up descriptors", "container");
  if (last >= TS_TOOLS_FD && !put (tools, TS_TOOLS_FD))
    return ts_fail (failure, errno, "set up descriptors", "tools");
  if (sys_close_range ((unsigned) last + 1, 0) < 0)
    return ts_fail_step (failure, errno, "close descriptors");
  return 0;
}

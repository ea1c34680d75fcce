/* Processes as (pid, start time): a bare pid may mean another process tomorrow. */
#include "lib/process.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/result.h"
#include "lib/syscalls.h"

int64_t
parse_start_time (const char *stat)
{
  const char *at = strrchr (stat, ')');
  int64_t start;

  if (!at)
    return -EINVAL;
  /* After the name come the state (field 3) and numbers. */
  for (int field = 2; field < 22; field++)
    {
      at = strchr (at + 1, ' ');
      if (!at)
        return -EINVAL;
    }
  if (sscanf (at, " %" SCNd64, &start) != 1 || start < 0)
    return -EINVAL;
  return start;
}

int64_t
read_start_time (pid_t pid)
{
  char path[32], text[1024];
  cleanup_close int fd = -1;
  ssize_t length;

  snprintf (path, sizeof path, "/proc/%d/stat", (int) pid);
  fd = open (path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return -errno;
  length = read (fd, text, sizeof text - 1);
  if (length < 0)
    return -errno;
  text[length] = '\0';
  return parse_start_time (text);
}

int
ts_signal_process (int32_t pid, int64_t start_time, int32_t signal_number, struct ts_result *res)
{
  cleanup_close int pidfd = sys_pidfd_open (pid);

  if (pidfd < 0)
    return ts_fail (res, errno, "open process", "pid %d", (int) pid);
  /* The pidfd holds the pid: what /proc says now is about the process that would be signalled, or that is
   * dead. */
  if (read_start_time (pid) != start_time)
    return ts_fail (res, ESRCH, "find process", "pid %d is not the one that started at %" PRId64, (int) pid,
                    start_time);
  if (sys_pidfd_send_signal (pidfd, signal_number) < 0)
    return ts_fail (res, errno, "signal process", "pid %d, signal %d", (int) pid, (int) signal_number);
  return 0;
}

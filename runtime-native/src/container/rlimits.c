#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/resource.h>

#include "container/process.h"
#include "container/syscalls.h"

/* By number; ts/runtime.ts has the same. */
static const char *const names[TS_MAX_RLIMITS] = {
  "cpu",     "fsize", "data",  "stack",      "core",     "rss",  "nproc",  "nofile",
  "memlock", "as",    "locks", "sigpending", "msgqueue", "nice", "rtprio", "rttime",
};

static void
format_limit (uint64_t value, char *text, size_t size)
{
  if (value == UINT64_MAX)
    snprintf (text, size, "unlimited");
  else
    snprintf (text, size, "%" PRIu64, value);
}

/* By system call: the C library's struct is the kernel's, but musl changes what it takes for infinite. */
int
ts_set_rlimits (const struct ts_security *security, struct ts_failure *failure)
{
  for (size_t i = 0; i < security->rlimit_count; i++)
    {
      const struct ts_rlimit *wanted = &security->rlimits[i];
      uint64_t pair[2] = { wanted->soft, wanted->hard }, now[2] = { 0, 0 };
      char hard[32], limit[32];
      int error;

      if (syscall (SYS_prlimit64, 0, wanted->resource, pair, NULL) == 0)
        continue;
      error = errno;
      syscall (SYS_prlimit64, 0, wanted->resource, NULL, now);
      format_limit (wanted->hard, hard, sizeof hard);
      format_limit (now[1], limit, sizeof limit);
      if (error == EPERM && wanted->hard > now[1])
        return ts_refuse (failure, TS_INVALID_ARGUMENT, error, "set rlimit",
                          "%s: hard limit %s is above the node's own %s, which takes CAP_SYS_RESOURCE to exceed",
                          names[wanted->resource], hard, limit);
      return ts_refuse (failure, TS_INVALID_ARGUMENT, error, "set rlimit", "%s to hard limit %s",
                        names[wanted->resource], hard);
    }
  return 0;
}

#include "lib/sysctl.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"

static int
write_sysctl (const struct sysctl *sysctl)
{
  char path[PATH_MAX];
  cleanup_close int fd = -1;

  if (snprintf (path, sizeof path, "/proc/sys/%s", sysctl->name) >= (int) sizeof path)
    return -ENAMETOOLONG;
  fd = open (path, O_WRONLY | O_CLOEXEC);
  if (fd < 0)
    return errno == ENOENT ? 0 : -errno;
  return write (fd, sysctl->value, strlen (sysctl->value)) < 0 ? -errno : 0;
}

int
write_sysctls (const struct sysctl *sysctls, const char **fault)
{
  for (; sysctls->name; sysctls++)
    {
      int err = write_sysctl (sysctls);

      if (err < 0)
        {
          *fault = sysctls->name;
          return err;
        }
    }
  return 0;
}

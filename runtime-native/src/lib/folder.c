/* A folder with what is to be in it from the beginning, by one call: a trip to a worker thread for each entry costs
   more than making them. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/cleanup.h"
#include "lib/result.h"

static bool
is_plain_name (const char *name)
{
  return *name && !strchr (name, '/') && strcmp (name, ".") != 0 && strcmp (name, "..") != 0;
}

/* The mode is set by itself: the caller's umask has no say. */
static int
make_entry (int folder, const char *name, uint32_t mode)
{
  int err = S_ISDIR (mode) ? mkdirat (folder, name, 0700) : mknodat (folder, name, S_IFREG | 0600, 0);

  return err < 0 || fchmodat (folder, name, mode & 07777, 0) < 0 ? -errno : 0;
}

int
ts_make_folder (const char *path, uint32_t mode, const char *const *names, const uint32_t *modes, struct ts_result *res)
{
  cleanup_close int folder = -1;

  for (size_t i = 0; names[i]; i++)
    if (!is_plain_name (names[i]) || (!S_ISDIR (modes[i]) && !S_ISREG (modes[i])))
      return ts_fail (res, EINVAL, "make folder", "%s with \"%s\"", path, names[i]);
  if (mkdir (path, 0700) < 0 || chmod (path, mode & 07777) < 0)
    return ts_fail (res, errno, "make folder", "%s", path);
  folder = open (path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (folder < 0)
    return ts_fail (res, errno, "open folder", "%s", path);
  for (size_t i = 0; names[i]; i++)
    {
      int err = make_entry (folder, names[i], modes[i]);

      if (err < 0)
        return ts_fail (res, -err, "fill folder", "%s/%s", path, names[i]);
    }
  return 0;
}

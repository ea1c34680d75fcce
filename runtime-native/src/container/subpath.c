#include "container/subpath.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

#include "container/rootpath.h"
#include "container/syscalls.h"
#include "lib/cleanup.h"

/* What stands at the last part of `path`, whose part before that is open as `parent`; a folder is made when there is
   nothing. Only mkdirat goes by the name, and it follows no link. */
static int
open_part (int volume, int parent, const char *path, mode_t mode)
{
  const char *slash = strrchr (path, '/');
  int fd = ts_root_open (volume, path, O_PATH, RESOLVE_BENEATH);

  if (fd != -ENOENT)
    return fd;
  if (mkdirat (parent, slash ? slash + 1 : path, mode) < 0 && errno != EEXIST)
    return -errno;
  return ts_root_open (volume, path, O_PATH, RESOLVE_BENEATH);
}

int
ts_open_sub_path (int volume, const char *path)
{
  char prefix[PATH_MAX];
  cleanup_close int parent = ts_root_open (volume, ".", O_PATH | O_DIRECTORY, RESOLVE_BENEATH);
  struct stat found;

  if (parent < 0)
    return steal_fd (&parent);
  if (fstat (parent, &found) < 0)
    return -errno;
  for (const char *end = path; *end;)
    {
      size_t size;
      int next;

      end += strspn (end, "/");
      end += strcspn (end, "/");
      size = (size_t) (end - path);
      if (size >= sizeof prefix)
        return -ENAMETOOLONG;
      memcpy (prefix, path, size);
      prefix[size] = '\0';
      if (prefix[size - 1] == '/')
        break;
      /* From the volume each time: a link in it may lead up again, as far as the volume goes. */
      next = open_part (volume, parent, prefix, found.st_mode & 0777);
      if (next < 0)
        return next;
      close (parent);
      parent = next;
    }
  return steal_fd (&parent);
}

/* Mounts of the agent's own mount namespace. */
#include "lib/mounts.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

#include "lib/cleanup.h"
#include "lib/result.h"
#include "lib/text-file.h"

enum
{
  /* Each round unmounts every mount it saw; another one is needed only when mounts appear meanwhile. */
  MAX_ROUNDS = 16
};

void
unescape_mount_path (char *text)
{
  char *to = text;

  for (const char *from = text; *from; to++)
    if (from[0] == '\\' && isdigit ((unsigned char) from[1]) && isdigit ((unsigned char) from[2])
        && isdigit ((unsigned char) from[3]))
      {
        *to = (char) ((from[1] - '0') * 64 + (from[2] - '0') * 8 + (from[3] - '0'));
        from += 4;
      }
    else
      *to = *from++;
  *to = '\0';
}

char *
mount_point_of_line (char *line)
{
  char *rest = line, *field = NULL;

  /* ID, parent, device, root, mount point. */
  for (int i = 0; i < 5; i++)
    if (!(field = strsep (&rest, " ")))
      return NULL;
  if (!rest)
    return NULL;
  unescape_mount_path (field);
  return field;
}

bool
is_at_or_below (const char *path, const char *top)
{
  size_t length = strlen (top);

  if (length == 1 && top[0] == '/')
    return true;
  return strncmp (path, top, length) == 0 && (path[length] == '\0' || path[length] == '/');
}

static int
unmount_lines (char *mountinfo, const char *top, int *found)
{
  char *end = mountinfo + strlen (mountinfo);

  /* From the last line to the first: later mounts lie in or on earlier ones. */
  while (end > mountinfo)
    {
      char *line = end, *point;

      while (line > mountinfo && line[-1] != '\n')
        line--;
      *end = '\0';
      end = line > mountinfo ? line - 1 : mountinfo;
      point = mount_point_of_line (line);
      if (!point || !is_at_or_below (point, top))
        continue;
      (*found)++;
      /* EINVAL: it went along with one above it, ENOENT: its folder was removed. */
      if (umount2 (point, MNT_DETACH | UMOUNT_NOFOLLOW) < 0 && errno != EINVAL && errno != ENOENT)
        return -errno;
    }
  return 0;
}

int
ts_unmount_below (const char *path, struct ts_result *res)
{
  cleanup_free char *top = realpath (path, NULL);

  if (!top)
    return errno == ENOENT ? 0 : ts_fail (res, errno, "unmount", "%s", path);
  if (strcmp (top, "/") == 0)
    return ts_fail (res, EINVAL, "unmount", "%s", path);
  for (int round = 0; round < MAX_ROUNDS; round++)
    {
      cleanup_free char *mountinfo = NULL;
      int found = 0;
      int err = read_text_file (AT_FDCWD, "/proc/self/mountinfo", &mountinfo);

      if (err < 0)
        return ts_fail (res, -err, "read mounts", "/proc/self/mountinfo");
      err = unmount_lines (mountinfo, top, &found);
      if (err < 0)
        return ts_fail (res, -err, "unmount", "at or below %s", top);
      if (found == 0)
        return 0;
    }
  return ts_fail (res, EBUSY, "unmount", "at or below %s", top);
}

/* Through a descriptor, so that no link in the path leads elsewhere. */
static int
mount_at (const char *path, const char *type, const char *options, struct ts_result *res)
{
  cleanup_close int fd = open (path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  char target[32];

  if (fd < 0)
    return ts_fail (res, errno, "open folder to mount on", "%s", path);
  snprintf (target, sizeof target, "/proc/self/fd/%d", fd);
  if (mount (type, target, type, MS_NOSUID | MS_NODEV, options) < 0)
    return ts_fail (res, errno, "mount", "%s at %s (%s)", type, path, options);
  return 0;
}

int
ts_mount_tmpfs (const char *path, int64_t size_bytes, uint32_t mode, struct ts_result *res)
{
  char options[96];

  if (size_bytes > 0)
    snprintf (options, sizeof options, "mode=%o,size=%" PRId64, (unsigned) mode, size_bytes);
  else
    snprintf (options, sizeof options, "mode=%o", (unsigned) mode);
  return mount_at (path, "tmpfs", options, res);
}

int
ts_mount_hugepages (const char *path, int64_t page_bytes, uint32_t mode, struct ts_result *res)
{
  char options[96];

  snprintf (options, sizeof options, "mode=%o,pagesize=%" PRId64, (unsigned) mode, page_bytes);
  return mount_at (path, "hugetlbfs", options, res);
}

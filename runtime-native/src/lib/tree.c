/* Removing trees that a container may have made as hostile as it likes: deep, wide, full of links. */
#include "lib/tree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/cleanup.h"
#include "lib/result.h"
#include "lib/syscalls.h"

enum
{
  /* Deeper folders are moved up before they are emptied, so that neither stack nor descriptors run out. */
  MAX_DEPTH = 32,
  /* Of what is read of a folder at once. */
  ENTRIES_SIZE = 16 * 1024
};

struct removal
{
  int top; /* folder that too deep ones are moved to */
  uint32_t *budget;
  unsigned moved;
};

static int remove_full_folder (struct removal *removal, int dirfd, const char *name, int fd, int depth);

static int
open_folder (int dirfd, const char *name)
{
  const struct open_how how = {
    .flags = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC,
    .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV,
  };
  int fd = sys_openat2 (dirfd, name, &how);

  return fd < 0 ? -errno : fd;
}

static int
move_up (struct removal *removal, int dirfd, const char *name)
{
  for (;;)
    {
      char moved[64];

      snprintf (moved, sizeof moved, ".tessera-removed-%u", removal->moved++);
      if (renameat2 (dirfd, name, removal->top, moved, RENAME_NOREPLACE) == 0)
        return 0;
      if (errno != EEXIST)
        return -errno;
    }
}

static int
remove_folder (struct removal *removal, int dirfd, const char *name, int depth)
{
  int fd;

  if (unlinkat (dirfd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
    return 0;
  if (errno != ENOTEMPTY && errno != EEXIST)
    return -errno;
  if (depth == MAX_DEPTH)
    return move_up (removal, dirfd, name);
  fd = open_folder (dirfd, name);
  return fd == -ENOENT ? 0 : fd < 0 ? fd : remove_full_folder (removal, dirfd, name, fd, depth + 1);
}

static int
remove_any (struct removal *removal, int dirfd, const struct dirent64 *entry, int depth)
{
  const char *name = entry->d_name;

  if (*removal->budget == 0)
    return -EAGAIN;
  --*removal->budget;
  if (entry->d_type == DT_DIR)
    return remove_folder (removal, dirfd, name, depth);
  if (unlinkat (dirfd, name, 0) == 0 || errno == ENOENT)
    return 0;
  /* EISDIR is Linux' answer, EPERM POSIX'. */
  if (errno != EISDIR && errno != EPERM)
    return -errno;
  return remove_folder (removal, dirfd, name, depth);
}

/* One reading of the folder; *found says whether there was anything. */
static int
empty_folder (struct removal *removal, int fd, int depth, bool *found)
{
  cleanup_free char *entries = malloc (ENTRIES_SIZE);
  ssize_t size;

  if (!entries)
    return -ENOMEM;
  *found = false;
  while ((size = getdents64 (fd, entries, ENTRIES_SIZE)) > 0)
    for (ssize_t at = 0; at < size;)
      {
        const struct dirent64 *entry = (const struct dirent64 *) (entries + at);
        int err;

        at += entry->d_reclen;
        if (strcmp (entry->d_name, ".") == 0 || strcmp (entry->d_name, "..") == 0)
          continue;
        *found = true;
        err = remove_any (removal, fd, entry, depth);
        if (err < 0)
          return err;
      }
  return size < 0 ? -errno : 0;
}

/* Takes fd, the folder that has this name in dirfd. It is read again when it is not empty afterwards: some file systems
   skip entries when others are removed, and too deep folders are moved into the topmost one. */
static int
remove_full_folder (struct removal *removal, int parent, const char *name, int fd, int depth)
{
  cleanup_close int folder = fd;

  for (;;)
    {
      bool found;
      int err = empty_folder (removal, folder, depth, &found);

      if (err < 0)
        return err;
      if (unlinkat (parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
        return 0;
      if (!found || (errno != ENOTEMPTY && errno != EEXIST))
        return -errno;
      if (lseek (folder, 0, SEEK_SET) < 0)
        return -errno;
    }
}

/* What was moved up lies beside `name` until the tree itself is gone; it is removed with it. */
int
remove_entry_at (int dirfd, const char *name, uint32_t *budget)
{
  struct removal removal = { .budget = budget };

  if (unlinkat (dirfd, name, 0) == 0 || errno == ENOENT)
    return 0;
  if (errno != EISDIR && errno != EPERM)
    return -errno;
  if (unlinkat (dirfd, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
    return 0;
  if (errno != ENOTEMPTY && errno != EEXIST)
    return -errno;
  removal.top = open_folder (dirfd, name);
  if (removal.top < 0)
    return removal.top == -ENOENT ? 0 : removal.top;
  return remove_full_folder (&removal, dirfd, name, removal.top, 0);
}

int
ts_remove_tree (const char *path, uint32_t budget, int32_t *done, struct ts_result *res)
{
  char parent[PATH_MAX], last[PATH_MAX];
  cleanup_close int fd = -1;
  const char *name;
  int err;

  *done = 1;
  if (path[0] != '/' || snprintf (parent, sizeof parent, "%s", path) >= (int) sizeof parent)
    return ts_fail (res, EINVAL, "remove tree", "%s", path);
  snprintf (last, sizeof last, "%s", path);
  name = basename (last);
  if (strcmp (name, "/") == 0 || strcmp (name, "..") == 0 || strcmp (name, ".") == 0)
    return ts_fail (res, EINVAL, "remove tree", "%s", path);
  fd = open (dirname (parent), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0)
    return errno == ENOENT ? 0 : ts_fail (res, errno, "remove tree", "%s", path);
  err = remove_entry_at (fd, name, &budget);
  if (err == -EAGAIN)
    *done = 0;
  else if (err < 0)
    return ts_fail (res, -err, "remove tree", "%s", path);
  return 0;
}

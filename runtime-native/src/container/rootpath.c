#include "container/rootpath.h"

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "container/syscalls.h"
#include "lib/cleanup.h"

enum
{
  /* As many links as the kernel itself follows. */
  MAX_DEPTH = 40,
  /* EAGAIN says that something was renamed meanwhile; somebody who does nothing else cannot stop us for ever. */
  MAX_TRIES = 1000,
};

int
ts_root_open (int root, const char *path, uint64_t flags, uint64_t resolve)
{
  if (!(resolve & RESOLVE_BENEATH))
    resolve |= RESOLVE_IN_ROOT;
  for (int tries = 0; tries < MAX_TRIES; tries++)
    {
      int fd = sys_openat2 (root, path, flags, resolve | RESOLVE_NO_MAGICLINKS);

      if (fd >= 0)
        return fd;
      if (errno != EAGAIN && errno != EINTR)
        return -errno;
    }
  return -EAGAIN;
}

/* Splits "a/b/c//" in "a/b" and "c"; the parent of "c" is "/" (the root). False when the last part cannot be made. */
static bool
split (const char *path, char *parent, char *name)
{
  size_t end = strlen (path);
  size_t start;

  while (end > 0 && path[end - 1] == '/')
    end--;
  start = end;
  while (start > 0 && path[start - 1] != '/')
    start--;
  if (end == start || end - start > NAME_MAX || start + 2 > PATH_MAX)
    return false;
  /* A missing folder's ".." cannot be made, and openat would follow it out of the root. */
  if (strncmp (path + start, "..", end - start) == 0)
    return false;
  memcpy (name, path + start, end - start);
  name[end - start] = '\0';
  memcpy (parent, path, start);
  memcpy (parent + start, start ? "" : "/", start ? 1 : 2);
  return true;
}

static int
create_entry (int parent, const char *name, enum ts_entry entry)
{
  int fd;

  if (entry == TS_DIRECTORY)
    return mkdirat (parent, name, 0755) < 0 ? -errno : 0;
  fd = openat (parent, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
  if (fd < 0)
    return -errno;
  close (fd);
  return 0;
}

static int make_at (int root, const char *path, enum ts_entry entry, uint64_t resolve, int depth);

/* A link whose target is missing: the target is made, where the link leads inside the root. */
static int
make_target (int root, const char *parent, int link, enum ts_entry entry, uint64_t resolve, int depth)
{
  char target[PATH_MAX];
  char joined[PATH_MAX];
  ssize_t size = readlinkat (link, "", target, sizeof target - 1);

  if (size < 0)
    return -errno;
  if (resolve & RESOLVE_NO_SYMLINKS)
    return -ELOOP;
  target[size] = '\0';
  if (snprintf (joined, sizeof joined, "%s/%s", *target == '/' ? "" : parent, target) >= (int) sizeof joined)
    return -ENAMETOOLONG;
  return make_at (root, joined, entry, resolve, depth + 1);
}

static int
make_missing (int root, const char *path, enum ts_entry entry, uint64_t resolve, int depth)
{
  char parent[PATH_MAX];
  char name[NAME_MAX + 1];
  struct stat found;
  cleanup_close int parent_fd = -1;
  cleanup_close int fd = -1;
  int err;

  if (depth > MAX_DEPTH)
    return -ELOOP;
  if (!split (path, parent, name))
    return -ENOENT;
  parent_fd = make_at (root, parent, TS_DIRECTORY, resolve, depth + 1);
  if (parent_fd < 0)
    return parent_fd;
  err = create_entry (parent_fd, name, entry);
  if (err < 0 && err != -EEXIST)
    return err;
  fd = openat (parent_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0 || fstat (fd, &found) < 0)
    return -errno;
  if (S_ISLNK (found.st_mode))
    return make_target (root, parent, fd, entry, resolve, depth);
  return steal_fd (&fd);
}

static int
make_at (int root, const char *path, enum ts_entry entry, uint64_t resolve, int depth)
{
  int fd = ts_root_open (root, path, O_PATH, resolve);

  return fd == -ENOENT ? make_missing (root, path, entry, resolve, depth) : fd;
}

int
ts_root_make (int root, const char *path, enum ts_entry entry, uint64_t resolve)
{
  cleanup_close int fd = make_at (root, path, entry, resolve, 0);
  struct stat found;

  if (fd < 0)
    return steal_fd (&fd);
  if (fstat (fd, &found) < 0)
    return -errno;
  if (S_ISDIR (found.st_mode) != (entry == TS_DIRECTORY))
    return entry == TS_DIRECTORY ? -ENOTDIR : -EISDIR;
  return steal_fd (&fd);
}

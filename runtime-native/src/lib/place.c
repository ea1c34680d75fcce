/* Names come from strangers: each is resolved with openat2 inside the layer's root, and from then on used by
   descriptor. A link in the layer therefore leads to a place in the layer, wherever it points. */
#include "lib/place.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/cleanup.h"
#include "lib/syscalls.h"

enum
{
  /* Links that lead to folders which have to be made first. */
  MAX_LINKS = 8
};

void
close_place (struct place *place)
{
  cleanup_closep (&place->parent);
  cleanup_closep (&place->root);
}

static int
open_in_root (int root, const char *path, int flags)
{
  const struct open_how how = {
    .flags = (uint64_t) (flags | O_CLOEXEC),
    .resolve = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_XDEV,
  };
  int fd;

  /* EAGAIN: something was renamed during the look-up, so that the kernel cannot vouch for it. */
  for (int tries = 0; tries < 100; tries++)
    {
      fd = sys_openat2 (root, *path ? path : ".", &how);
      if (fd >= 0 || errno != EAGAIN)
        break;
    }
  return fd < 0 ? -errno : fd;
}

static int make_folders (int root, char *path, int links);

/* `path` ends in a link whose target does not exist. Makes the target, seen from the link's folder. */
static int
make_target (int root, const char *path, int links)
{
  cleanup_free char *whole = NULL;
  char target[PATH_MAX];
  const char *slash = strrchr (path, '/');
  cleanup_close int link = -1;
  ssize_t length;
  int err;

  if (links == 0)
    return -ELOOP;
  link = open_in_root (root, path, O_PATH | O_NOFOLLOW);
  if (link < 0)
    return link;
  length = readlinkat (link, "", target, sizeof target - 1);
  if (length < 0)
    return -errno;
  target[length] = '\0';
  if (asprintf (&whole, "%.*s%s", target[0] == '/' || !slash ? 0 : (int) (slash - path + 1), path, target) < 0)
    return -ENOMEM;
  err = make_folders (root, whole, links - 1);
  return err;
}

/* Makes what is missing of a path of folders, level by level. */
static int
make_folders (int root, char *path, int links)
{
  cleanup_close int at = fcntl (root, F_DUPFD_CLOEXEC, 0);
  char *part = path;

  while (at >= 0 && *part)
    {
      char *end = part + strcspn (part, "/"), saved = *end;
      int next;

      *end = '\0';
      next = open_in_root (root, path, O_PATH | O_DIRECTORY);
      if (next == -ENOENT)
        {
          if (mkdirat (at, part, 0755) == 0)
            next = open_in_root (root, path, O_PATH | O_DIRECTORY);
          else if (errno == EEXIST && (next = make_target (root, path, links)) == 0)
            next = open_in_root (root, path, O_PATH | O_DIRECTORY);
          else if (errno != EEXIST)
            next = -errno;
        }
      *end = saved;
      if (next < 0)
        return next;
      close (at);
      at = next;
      part = saved ? end + 1 : end;
    }
  return at < 0 ? -errno : 0;
}

static bool
climbs (const char *path)
{
  for (const char *part = path; part; part = strchr (part, '/'))
    {
      part += *part == '/';
      if (strncmp (part, "..", 2) == 0 && (part[2] == '/' || part[2] == '\0'))
        return true;
    }
  return false;
}

/* Splits into folder and name; "" and "." are the root itself and have an empty name. */
static int
split_path (const char *path, char *folder, size_t size, char name[NAME_MAX + 1])
{
  size_t length, start;

  while (*path == '/' || (path[0] == '.' && path[1] == '/'))
    path++;
  if (strcmp (path, ".") == 0)
    path++;
  length = strlen (path);
  while (length > 0 && path[length - 1] == '/')
    length--;
  for (start = length; start > 0 && path[start - 1] != '/';)
    start--;
  if (climbs (path) || (length - start == 1 && path[start] == '.'))
    return -EINVAL;
  if (length - start > NAME_MAX || start >= size)
    return -ENAMETOOLONG;
  snprintf (name, NAME_MAX + 1, "%.*s", (int) (length - start), path + start);
  while (start > 0 && path[start - 1] == '/')
    start--;
  snprintf (folder, size, "%.*s", (int) start, path);
  return 0;
}

int
open_place (const char *root, const char *path, bool make, struct place *place)
{
  char folder[PATH_MAX];
  int err = split_path (path, folder, sizeof folder, place->name);

  if (err < 0)
    return err;
  place->root = open (root, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (place->root < 0)
    return -errno;
  place->parent = open_in_root (place->root, folder, O_PATH | O_DIRECTORY);
  if (place->parent == -ENOENT && make)
    {
      err = make_folders (place->root, folder, MAX_LINKS);
      place->parent = err < 0 ? err : open_in_root (place->root, folder, O_PATH | O_DIRECTORY);
    }
  return place->parent < 0 ? place->parent : 0;
}

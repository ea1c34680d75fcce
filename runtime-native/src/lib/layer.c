/* Entries of image layers, each made in the folder that place.c resolved, by descriptor. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#include "lib/cleanup.h"
#include "lib/place.h"
#include "lib/result.h"
#include "lib/tree.h"

enum
{
  /* A layer replaces what it wrote itself: rarely a large tree. */
  REPLACE_BUDGET = 1000000,
};

static int
make_room (const struct place *place)
{
  uint32_t budget = REPLACE_BUDGET;

  return place->name[0] ? remove_entry_at (place->parent, place->name, &budget) : -EISDIR;
}

/* ---- attributes ---- */

/* fd of a file or folder, or -1 for what is at `place` itself, a link or device, which is not to be opened. */
static int
set_xattr (const struct place *place, int fd, const char *name, const void *value, size_t size)
{
  char path[NAME_MAX + 64];

  if (fd >= 0)
    return fsetxattr (fd, name, value, size, 0) < 0 ? -errno : 0;
  /* There is no call that takes a folder's descriptor and a name. The descriptor's magic link leads to that folder
     alone, and the name in it is not followed. */
  snprintf (path, sizeof path, "/proc/self/fd/%d/%s", place->parent, place->name);
  return lsetxattr (path, name, value, size, 0) < 0 ? -errno : 0;
}

static int
set_xattrs (const struct ts_layer_entry *entry, const struct place *place, int fd)
{
  const uint8_t *at = entry->xattrs;
  const uint8_t *end = entry->xattrs_size ? at + entry->xattrs_size : at;

  while (at < end)
    {
      const uint8_t *nul = memchr (at, '\0', (size_t) (end - at));
      uint32_t size;
      int err;

      if (!nul || (size_t) (end - nul - 1) < sizeof size)
        return -EINVAL;
      memcpy (&size, nul + 1, sizeof size);
      if (size > (size_t) (end - nul - 1) - sizeof size)
        return -EINVAL;
      err = set_xattr (place, fd, (const char *) at, nul + 1 + sizeof size, size);
      if (err < 0)
        return err;
      at = nul + 1 + sizeof size + size;
    }
  return 0;
}

/* The owner first: changing it takes setuid bits and capabilities away. The time last: all else moves it. */
static int
set_attributes (const struct ts_layer_entry *entry, const struct place *place, int fd, struct ts_result *res)
{
  const struct timespec times[2] = {
    { .tv_sec = entry->mtime_seconds, .tv_nsec = entry->mtime_nanoseconds },
    { .tv_sec = entry->mtime_seconds, .tv_nsec = entry->mtime_nanoseconds },
  };
  bool by_fd = fd >= 0;
  int err;

  if ((by_fd ? fchown (fd, entry->uid, entry->gid)
             : fchownat (place->parent, place->name, entry->uid, entry->gid, AT_SYMLINK_NOFOLLOW))
      < 0)
    return ts_fail (res, errno, "set owner of layer entry", "%s to %u:%u", entry->path, entry->uid, entry->gid);
  /* A link has no mode. A device is our own and no link, so following the name is safe. */
  if (entry->type != TS_LAYER_SYMLINK
      && (by_fd ? fchmod (fd, entry->mode) : fchmodat (place->parent, place->name, entry->mode, 0)) < 0)
    return ts_fail (res, errno, "set mode of layer entry", "%s to %o", entry->path, entry->mode);
  err = set_xattrs (entry, place, fd);
  if (err < 0)
    return ts_fail (res, -err, "set extended attributes of layer entry", "%s", entry->path);
  if ((by_fd ? futimens (fd, times) : utimensat (place->parent, place->name, times, AT_SYMLINK_NOFOLLOW)) < 0)
    return ts_fail (res, errno, "set time of layer entry", "%s", entry->path);
  return 0;
}

/* ---- entries ---- */

static int
open_folder_at (const struct place *place)
{
  int fd = openat (place->parent, place->name[0] ? place->name : ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

  return fd < 0 ? -errno : fd;
}

/* Opens the folder, in place of anything else that has its name. */
static int
make_folder_at (const struct place *place, uint32_t mode)
{
  int fd = open_folder_at (place);
  int err;

  if (fd >= 0 || !place->name[0])
    return fd;
  err = make_room (place);
  if (err < 0)
    return err;
  if (mkdirat (place->parent, place->name, mode) < 0)
    return -errno;
  return open_folder_at (place);
}

static int
add_folder (const struct ts_layer_entry *entry, const struct place *place, struct ts_result *res)
{
  cleanup_close int fd = make_folder_at (place, entry->mode & 07777);

  if (fd < 0)
    return ts_fail (res, -fd, "make folder of layer", "%s", entry->path);
  return set_attributes (entry, place, fd, res);
}

static int
add_opaque (const struct ts_layer_entry *entry, const struct place *place, struct ts_result *res)
{
  cleanup_close int fd = make_folder_at (place, 0755);

  if (fd < 0)
    return ts_fail (res, -fd, "make folder of layer", "%s", entry->path);
  if (fsetxattr (fd, "trusted.overlay.opaque", "y", 1, 0) < 0)
    return ts_fail (res, errno, "make folder of layer opaque", "%s", entry->path);
  return 0;
}

static int
add_file (const struct ts_layer_entry *entry, const struct place *place, int32_t *out, struct ts_result *res)
{
  cleanup_close int fd = -1;
  int err = make_room (place);

  if (err < 0)
    return ts_fail (res, -err, "replace layer entry", "%s", entry->path);
  fd = openat (place->parent, place->name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  if (fd < 0)
    return ts_fail (res, errno, "make file of layer", "%s", entry->path);
  err = set_attributes (entry, place, fd, res);
  if (err < 0)
    return err;
  *out = steal_fd (&fd);
  return 0;
}

static int
add_hardlink (const struct ts_layer_entry *entry, const struct place *place, struct ts_result *res)
{
  cleanup_place struct place target = NO_PLACE;
  int err = open_place (entry->root, entry->target, false, &target);
  struct stat from, to;

  if (err < 0 || !target.name[0])
    return ts_fail (res, err < 0 ? -err : EISDIR, "find target of hard link", "%s of %s", entry->target, entry->path);
  /* A link to itself must not remove what it points to. */
  if (fstatat (target.parent, target.name, &from, AT_SYMLINK_NOFOLLOW) < 0)
    return ts_fail (res, errno, "find target of hard link", "%s of %s", entry->target, entry->path);
  if (fstatat (place->parent, place->name, &to, AT_SYMLINK_NOFOLLOW) == 0 && from.st_ino == to.st_ino
      && from.st_dev == to.st_dev)
    return 0;
  err = make_room (place);
  if (err < 0)
    return ts_fail (res, -err, "replace layer entry", "%s", entry->path);
  if (linkat (target.parent, target.name, place->parent, place->name, 0) < 0)
    return ts_fail (res, errno, "make hard link of layer", "%s to %s", entry->path, entry->target);
  return 0;
}

static int
make_node (const struct ts_layer_entry *entry, const struct place *place)
{
  dev_t device = makedev (entry->major, entry->minor);

  switch (entry->type)
    {
    case TS_LAYER_SYMLINK:
      return symlinkat (entry->target, place->parent, place->name);
    case TS_LAYER_CHAR_DEVICE:
      return mknodat (place->parent, place->name, S_IFCHR | (entry->mode & 07777), device);
    case TS_LAYER_BLOCK_DEVICE:
      return mknodat (place->parent, place->name, S_IFBLK | (entry->mode & 07777), device);
    case TS_LAYER_FIFO:
      return mknodat (place->parent, place->name, S_IFIFO | (entry->mode & 07777), 0);
    case TS_LAYER_WHITEOUT:
      return mknodat (place->parent, place->name, S_IFCHR, makedev (0, 0));
    default:
      errno = EINVAL;
      return -1;
    }
}

static int
add_node (const struct ts_layer_entry *entry, const struct place *place, struct ts_result *res)
{
  int err = make_room (place);

  if (err < 0)
    return ts_fail (res, -err, "replace layer entry", "%s", entry->path);
  if (make_node (entry, place) < 0)
    return ts_fail (res, errno, "make layer entry", "%s", entry->path);
  return entry->type == TS_LAYER_WHITEOUT ? 0 : set_attributes (entry, place, -1, res);
}

int
ts_layer_add (const struct ts_layer_entry *entry, int32_t *fd, struct ts_result *res)
{
  cleanup_place struct place place = NO_PLACE;
  int err = open_place (entry->root, entry->path, true, &place);

  *fd = -1;
  if (err < 0)
    return ts_fail (res, -err, "resolve layer entry", "%s", entry->path);
  switch (entry->type)
    {
    case TS_LAYER_DIRECTORY:
      return add_folder (entry, &place, res);
    case TS_LAYER_OPAQUE:
      return add_opaque (entry, &place, res);
    case TS_LAYER_FILE:
      return add_file (entry, &place, fd, res);
    case TS_LAYER_HARDLINK:
      return add_hardlink (entry, &place, res);
    default:
      return add_node (entry, &place, res);
    }
}

int
ts_layer_finish_file (const struct ts_layer_entry *entry, int32_t fd, struct ts_result *res)
{
  cleanup_close int file = fd;

  return set_attributes (entry, NULL, file, res);
}

int
ts_layer_finish_folder (const struct ts_layer_entry *entry, struct ts_result *res)
{
  cleanup_place struct place place = NO_PLACE;
  int err = open_place (entry->root, entry->path, false, &place);
  cleanup_close int fd = err < 0 ? err : open_folder_at (&place);
  const struct timespec times[2] = {
    { .tv_nsec = UTIME_OMIT },
    { .tv_sec = entry->mtime_seconds, .tv_nsec = entry->mtime_nanoseconds },
  };

  /* A later entry may have put something else in its place. */
  if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP)
    return 0;
  if (fd < 0)
    return ts_fail (res, -fd, "resolve layer entry", "%s", entry->path);
  return futimens (fd, times) < 0 ? ts_fail (res, errno, "set time of layer entry", "%s", entry->path) : 0;
}

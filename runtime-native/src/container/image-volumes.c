/* What an image has at the paths that it declares as volumes, copied to where the volume lies on the node. Everything
   goes by descriptors inside the container's root, in which nothing runs yet and no volume is mounted; so the contents
   come from the image and from nowhere else. */
#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#include "container/rootpath.h"
#include "container/setup.h"
#include "container/syscalls.h"
#include "lib/cleanup.h"

enum
{
  /* Each level costs a few descriptors and some stack. */
  MAX_FOLDER_DEPTH = 100,
  MAX_TRANSFER = 1 << 30,
};

/* Owner first: changing it takes the setuid bits. */
static int
copy_attributes (int to, const char *name, const struct stat *from)
{
  const struct timespec times[] = { from->st_atim, from->st_mtim };

  if (fchownat (to, name, from->st_uid, from->st_gid, AT_SYMLINK_NOFOLLOW) < 0)
    return -errno;
  if (!S_ISLNK (from->st_mode) && fchmodat (to, name, from->st_mode & 07777, 0) < 0)
    return -errno;
  return utimensat (to, name, times, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

static int
copy_file (int from, int to, const char *name)
{
  cleanup_close int source = openat (from, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
  cleanup_close int copy = openat (to, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
  ssize_t size;

  if (source < 0 || copy < 0)
    return -errno;
  do
    size = sendfile (copy, source, NULL, MAX_TRANSFER);
  while (size > 0);
  return size < 0 ? -errno : 0;
}

static int
copy_link (int from, int to, const char *name)
{
  char target[PATH_MAX];
  ssize_t size = readlinkat (from, name, target, sizeof target - 1);

  if (size < 0)
    return -errno;
  target[size] = '\0';
  return symlinkat (target, to, name) < 0 ? -errno : 0;
}

static int copy_folder (int from, int to, int depth);

static int
copy_below (int from, int to, const char *name, int depth)
{
  cleanup_close int source = openat (from, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  cleanup_close int copy = -1;

  if (source < 0 || mkdirat (to, name, 0700) < 0)
    return -errno;
  copy = openat (to, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  return copy < 0 ? -errno : copy_folder (source, copy, depth + 1);
}

static int
copy_entry (int from, int to, const char *name, int depth)
{
  struct stat found;
  int err;

  if (fstatat (from, name, &found, AT_SYMLINK_NOFOLLOW) < 0)
    return -errno;
  if (S_ISREG (found.st_mode))
    err = copy_file (from, to, name);
  else if (S_ISDIR (found.st_mode))
    err = copy_below (from, to, name, depth);
  else if (S_ISLNK (found.st_mode))
    err = copy_link (from, to, name);
  else
    err = mknodat (to, name, found.st_mode & (S_IFMT | 0600), found.st_rdev) < 0 ? -errno : 0;
  return err < 0 ? err : copy_attributes (to, name, &found);
}

static int
copy_folder (int from, int to, int depth)
{
  int listed = openat (from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  cleanup_dir DIR *dir = listed < 0 ? NULL : fdopendir (listed);
  struct dirent *entry;
  int err = 0;

  if (!dir)
    return -errno;
  if (depth > MAX_FOLDER_DEPTH)
    return -ELOOP;
  while (err == 0 && (errno = 0, entry = readdir (dir)))
    if (strcmp (entry->d_name, ".") != 0 && strcmp (entry->d_name, "..") != 0)
      err = copy_entry (from, to, entry->d_name, depth);
  return err < 0 ? err : -errno;
}

static int
fill_volume (struct ts_setup *setup, const struct ts_mount *mount)
{
  /* The other mounts of a root are those of the kernel, and /dev. */
  cleanup_close int from = ts_root_make (setup->root, mount->destination, TS_DIRECTORY, RESOLVE_NO_XDEV);
  struct stat found;
  int err;

  if (from == -EXDEV)
    return ts_refuse (setup->failure, TS_INVALID_ARGUMENT, EINVAL, "make image volume",
                      "%s leads into /proc, /sys or /dev, where an image may have none", mount->destination);
  if (from == -ENOTDIR)
    return ts_refuse (setup->failure, TS_INVALID_ARGUMENT, ENOTDIR, "make image volume", "%s", mount->destination);
  if (from < 0)
    return ts_fail (setup->failure, -from, "make image volume", "%s", mount->destination);
  err = fstat (from, &found) < 0 ? -errno : copy_folder (from, mount->tree, 0);
  if (err == 0)
    err = copy_attributes (mount->tree, ".", &found);
  return err < 0 ? ts_fail (setup->failure, -err, "copy image volume", "%s", mount->destination) : 0;
}

int
ts_fill_image_volumes (struct ts_setup *setup)
{
  const struct ts_container_spec *spec = setup->spec;
  int err = 0;

  for (size_t i = 0; err == 0 && i < spec->mount_count; i++)
    if (spec->mounts[i].type == TS_MOUNT_IMAGE_VOLUME)
      err = fill_volume (setup, &spec->mounts[i]);
  return err;
}

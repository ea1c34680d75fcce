/* cgroups of the pods, v1 or v2: `root` and below it, made in every hierarchy alike. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "lib/cgroup.h"
#include "lib/cleanup.h"
#include "lib/text-file.h"

int
hierarchy_of (const struct ts_cgroups *cgroups, unsigned controller)
{
  for (int i = 0; i < cgroups->layout.count; i++)
    if (cgroups->layout.hierarchies[i].controllers & controller)
      return i;
  return -1;
}

int
open_cgroup_at (const struct ts_cgroups *cgroups, int index, const char *path)
{
  int fd = openat (cgroups->root_fds[index], *path ? path : ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

  return fd < 0 ? -errno : fd;
}

int
write_cgroup_file (int dirfd, const char *file, const char *text)
{
  cleanup_close int fd = openat (dirfd, file, O_WRONLY | O_CLOEXEC);

  if (fd < 0)
    return -errno;
  return write (fd, text, strlen (text)) < 0 ? -errno : 0;
}

int
read_cgroup_file (int dirfd, const char *file, char *text, size_t size)
{
  cleanup_close int fd = openat (dirfd, file, O_RDONLY | O_CLOEXEC);
  size_t used = 0;

  if (fd < 0)
    return -errno;
  while (used < size - 1)
    {
      ssize_t length = read (fd, text + used, size - 1 - used);

      if (length < 0)
        return -errno;
      if (length == 0)
        break;
      used += (size_t) length;
    }
  text[used] = '\0';
  return (int) used;
}

/* A new v1 cpuset is empty and takes no process until it has CPUs and memory nodes. */
static int
inherit_cpuset (int parent, int child, struct ts_result *res)
{
  static const char *const files[] = { "cpuset.cpus", "cpuset.mems" };
  char text[4096];

  for (int i = 0; i < 2; i++)
    {
      int err = read_cgroup_file (child, files[i], text, sizeof text);

      if (err >= 0 && text[0] != '\n' && text[0] != '\0')
        continue;
      err = read_cgroup_file (parent, files[i], text, sizeof text);
      if (err >= 0)
        err = write_cgroup_file (child, files[i], text);
      if (err < 0)
        return ts_fail (res, -err, "set up cpuset", "%s", files[i]);
    }
  return 0;
}

/* v2: a cgroup's children have only the controllers that it passes on. */
static int
delegate_controllers (int dirfd, unsigned *passed)
{
  static const char *const names[] = { "cpu", "memory", "pids", "cpuset", "io", "hugetlb" };
  static const unsigned bits[]
      = { CONTROLLER_CPU, CONTROLLER_MEMORY, CONTROLLER_PIDS, CONTROLLER_CPUSET, CONTROLLER_IO, CONTROLLER_HUGETLB };

  *passed = 0;
  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    {
      char word[16];
      int err;

      snprintf (word, sizeof word, "+%s", names[i]);
      err = write_cgroup_file (dirfd, "cgroup.subtree_control", word);
      if (err == 0)
        *passed |= bits[i];
      else if (err == -EBUSY)
        return err;
    }
  return 0;
}

/* Makes one more level below `parent` and returns its descriptor. */
static int
make_child (const struct ts_cgroups *cgroups, int index, int parent, const char *name, struct ts_result *res)
{
  const struct cgroup_hierarchy *hierarchy = &cgroups->layout.hierarchies[index];
  cleanup_close int child = -1;
  unsigned passed;
  int err;

  if (cgroups->layout.unified)
    {
      err = delegate_controllers (parent, &passed);
      if (err < 0)
        return ts_fail (res, -err, "delegate cgroup controllers",
                        "to \"%s\" in %s: the cgroup above it holds processes of its own", name, hierarchy->mount);
    }
  if (mkdirat (parent, name, 0755) < 0 && errno != EEXIST)
    return ts_fail (res, errno, "make cgroup", "\"%s\" in %s", name, hierarchy->mount);
  child = openat (parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (child < 0)
    return ts_fail (res, errno, "open cgroup", "\"%s\" in %s", name, hierarchy->mount);
  if (!cgroups->layout.unified && (hierarchy->controllers & CONTROLLER_CPUSET))
    {
      err = inherit_cpuset (parent, child, res);
      if (err < 0)
        return err;
    }
  return steal_fd (&child);
}

/* Makes all levels of `path` below `top`; returns the last one's descriptor. */
static int
make_path (const struct ts_cgroups *cgroups, int index, int top, const char *path, struct ts_result *res)
{
  cleanup_close int at = fcntl (top, F_DUPFD_CLOEXEC, 0);
  char name[NAME_MAX + 1];

  if (at < 0)
    return ts_fail (res, errno, "open cgroup", "%s", path);
  while (*path)
    {
      size_t length = strcspn (path, "/");
      int next;

      memcpy (name, path, length);
      name[length] = '\0';
      next = make_child (cgroups, index, at, name, res);
      if (next < 0)
        return next;
      close (at);
      at = next;
      path += length + (path[length] == '/');
    }
  return steal_fd (&at);
}

void
ts_cgroups_close (struct ts_cgroups *cgroups)
{
  if (!cgroups)
    return;
  for (int i = 0; i < MAX_HIERARCHIES; i++)
    cleanup_closep (&cgroups->root_fds[i]);
  free (cgroups);
}

static int
open_roots (struct ts_cgroups *cgroups, struct ts_result *res)
{
  for (int i = 0; i < cgroups->layout.count + cgroups->layout.bare_count; i++)
    {
      struct cgroup_hierarchy *hierarchy = &cgroups->layout.hierarchies[i];
      cleanup_close int mount = open (hierarchy->mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

      if (mount < 0)
        return ts_fail (res, errno, "open cgroup mount", "%s", hierarchy->mount);
      cgroups->root_fds[i] = make_path (cgroups, i, mount, cgroups->root, res);
      if (cgroups->root_fds[i] < 0)
        return cgroups->root_fds[i];
      if (cgroups->layout.unified)
        {
          int err = delegate_controllers (cgroups->root_fds[i], &hierarchy->controllers);

          if (err < 0)
            return ts_fail (res, -err, "delegate cgroup controllers", "below %s/%s", hierarchy->mount, cgroups->root);
        }
    }
  return 0;
}

int
ts_cgroups_open (const char *root, struct ts_cgroups **out, struct ts_result *res)
{
  cleanup_free char *mountinfo = NULL;
  struct ts_cgroups *cgroups;
  int err;

  if (!is_cgroup_path (root, false) || strlen (root) >= sizeof cgroups->root)
    return ts_fail (res, EINVAL, "open cgroups", "root \"%s\"", root);
  err = read_text_file (AT_FDCWD, "/proc/self/mountinfo", &mountinfo);
  if (err < 0)
    return ts_fail (res, -err, "read mounts", "/proc/self/mountinfo");
  cgroups = calloc (1, sizeof *cgroups);
  if (!cgroups)
    return ts_fail (res, ENOMEM, "open cgroups", "%s", root);
  memset (cgroups->root_fds, -1, sizeof cgroups->root_fds);
  snprintf (cgroups->root, sizeof cgroups->root, "%s", root);
  err = parse_cgroup_mounts (mountinfo, &cgroups->layout);
  if (err < 0)
    err = ts_fail (res, -err, "find cgroups", "neither a v1 memory controller nor cgroup2 is mounted");
  else
    err = open_roots (cgroups, res);
  if (err < 0)
    {
      ts_cgroups_close (cgroups);
      return err;
    }
  *out = cgroups;
  return 0;
}

int
ts_cgroup_create (struct ts_cgroups *cgroups, const char *path, const struct ts_cgroup_limits *limits,
                  struct ts_result *res)
{
  if (!is_cgroup_path (path, false))
    return ts_fail (res, EINVAL, "make cgroup", "\"%s\"", path);
  for (int i = 0; i < cgroups->layout.count; i++)
    {
      cleanup_close int fd = make_path (cgroups, i, cgroups->root_fds[i], path, res);

      if (fd < 0)
        return fd;
    }
  return apply_cgroup_limits (cgroups, path, limits, res);
}

/* Folders of hierarchies `first` up to `end`. */
static int
name_dirs (const struct ts_cgroups *cgroups, int first, int end, const char *path, char *out, uint32_t size,
           struct ts_result *res)
{
  uint32_t used = 0;

  for (int i = first; i < end; i++)
    {
      int length = snprintf (out + used, size - used, "%s/%s%s%s\n", cgroups->layout.hierarchies[i].mount,
                             cgroups->root, *path ? "/" : "", path);

      if (length < 0 || (uint32_t) length >= size - used)
        return ts_fail (res, ENOBUFS, "name cgroup", "%s", path);
      used += (uint32_t) length;
    }
  return 0;
}

int
ts_cgroup_dirs (struct ts_cgroups *cgroups, const char *path, char *out, uint32_t size, struct ts_result *res)
{
  if (!is_cgroup_path (path, true))
    return ts_fail (res, EINVAL, "name cgroup", "\"%s\"", path);
  return name_dirs (cgroups, 0, cgroups->layout.count, path, out, size, res);
}

int
ts_cgroup_bare_roots (struct ts_cgroups *cgroups, char *out, uint32_t size, struct ts_result *res)
{
  const struct cgroup_layout *layout = &cgroups->layout;

  if (size == 0)
    return ts_fail (res, ENOBUFS, "name cgroup", "%s", cgroups->root);
  out[0] = '\0';
  return name_dirs (cgroups, layout->count, layout->count + layout->bare_count, "", out, size, res);
}

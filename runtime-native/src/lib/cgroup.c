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
make_levels (const struct ts_cgroups *cgroups, int index, int top, const char *path, struct ts_result *res)
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

/* Mostly only the last level is missing, and a v1 cgroup needs nothing of those above it. */
static int
make_cgroup (const struct ts_cgroups *cgroups, int index, const char *path, struct ts_result *res)
{
  const int top = cgroups->root_fds[index];
  cleanup_close int fd = -1;

  if (cgroups->layout.hierarchies[index].needs_nothing && mkdirat (top, path, 0755) == 0)
    return 0;
  fd = make_levels (cgroups, index, top, path, res);
  return fd < 0 ? fd : 0;
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

/* Makes the kernel copy a v1 cpuset to the children made from now on: setting it by hand would make the scheduler
   divide the machine anew each time. */
static bool
pass_cpuset_on (int fd)
{
  return write_cgroup_file (fd, "cgroup.clone_children", "1") == 0;
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
      cgroups->root_fds[i] = make_levels (cgroups, i, mount, cgroups->root, res);
      if (cgroups->root_fds[i] < 0)
        return cgroups->root_fds[i];
      if (cgroups->layout.unified)
        {
          int err = delegate_controllers (cgroups->root_fds[i], &hierarchy->controllers);

          if (err < 0)
            return ts_fail (res, -err, "delegate cgroup controllers", "below %s/%s", hierarchy->mount, cgroups->root);
        }
      else
        hierarchy->needs_nothing
            = !(hierarchy->controllers & CONTROLLER_CPUSET) || pass_cpuset_on (cgroups->root_fds[i]);
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

/* v1: what pods are counted by, paused and killed by, or may be limited by later. A folder in one of the others costs
   every start and end a moment, and is made for a limit. */
static bool
is_needed (const struct cgroup_hierarchy *hierarchy, const struct ts_cgroup_limits *limits)
{
  const unsigned rarely = CONTROLLER_CPUSET | CONTROLLER_IO | CONTROLLER_HUGETLB;
  unsigned wanted = 0;

  if (limits->cpuset_cpus || limits->cpuset_mems)
    wanted |= CONTROLLER_CPUSET;
  if (limits->io_count > 0 || limits->io_weight >= 0)
    wanted |= CONTROLLER_IO;
  if (limits->hugepage_count > 0)
    wanted |= CONTROLLER_HUGETLB;
  return (hierarchy->controllers & (~rarely | wanted)) != 0;
}

int
ts_cgroup_create (struct ts_cgroups *cgroups, const char *path, const struct ts_cgroup_limits *limits, uint32_t *made,
                  struct ts_result *res)
{
  const struct cgroup_layout *layout = &cgroups->layout;

  *made = 0;
  if (!is_cgroup_path (path, false))
    return ts_fail (res, EINVAL, "make cgroup", "\"%s\"", path);
  for (int i = 0; i < layout->count; i++)
    {
      int err;

      if (!layout->unified && !is_needed (&layout->hierarchies[i], limits))
        continue;
      err = make_cgroup (cgroups, i, path, res);
      if (err < 0)
        return err;
      *made |= 1U << i;
    }
  return apply_cgroup_limits (cgroups, path, limits, res);
}

int
ts_cgroup_dirs (struct ts_cgroups *cgroups, char *out, uint32_t size, struct ts_result *res)
{
  uint32_t used = 0;

  for (int i = 0; i < cgroups->layout.count; i++)
    {
      int length = snprintf (out + used, size - used, "%s/%s\n", cgroups->layout.hierarchies[i].mount, cgroups->root);

      if (length < 0 || (uint32_t) length >= size - used)
        return ts_fail (res, ENOBUFS, "name cgroups", "%s", cgroups->root);
      used += (uint32_t) length;
    }
  return 0;
}

/* Memory cgroups of ended pods, v1. A removed one lives on in the kernel, some 13 KB and more by the processor, until
   the last page charged to it has left the page cache. Files of a pod go with it, but not the blocks of the file system
   itself that it was the first to touch, inode tables and folders: they stay cached for as long as memory is free.
   While they wait to be written the kernel cannot drop them either. So the cgroup is set aside under another name until
   they are, and only then emptied and removed: docs/decisions/0048-memory-cgroups-of-ended-pods.md. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/cgroup.h"
#include "lib/cleanup.h"

static const char prefix[] = "ended-";

enum
{
  /* What keeps more cached than this, an image's files or a volume's, is worth its cgroup, and another pod may read it
     next. */
  MAX_DROPPED_BYTES = 256 << 10,
  /* The kernel's sums are up to two seconds behind: what has just ended may seem to hold nothing. */
  MIN_AGE_S = 5,
  /* Blocks that are written to all the time are never clean. */
  MAX_AGE_S = 120,
};

bool
is_ended_cgroup (const char *name)
{
  return strncmp (name, prefix, sizeof prefix - 1) == 0;
}

static long
uptime_s (void)
{
  struct timespec now;

  clock_gettime (CLOCK_MONOTONIC, &now);
  return now.tv_sec;
}

/* Whether it could be removed: neither cgroups nor processes in it. */
static bool
is_empty (int fd)
{
  char pid[16];
  struct stat folder;

  return fstat (fd, &folder) == 0 && folder.st_nlink == 2 && read_cgroup_file (fd, "tasks", pid, sizeof pid) == 0;
}

int
set_ended_cgroup_aside (struct ts_cgroups *cgroups, int index, const char *path)
{
  const int root = cgroups->root_fds[index];
  cleanup_close int fd = open_cgroup_at (cgroups, index, path);
  char aside[NAME_MAX + 1];
  int length;

  if (fd < 0)
    return fd == -ENOENT || fd == -ENODEV ? 0 : fd;
  if (!is_empty (fd))
    return -EBUSY;
  length = snprintf (aside, sizeof aside, "%s%ld-%s", prefix, uptime_s (), path);
  if (length < (int) sizeof aside && renameat (root, path, root, aside) == 0)
    return 0;
  return unlinkat (root, path, AT_REMOVEDIR) == 0 || errno == ENOENT ? 0 : -errno;
}

enum remains
{
  REMAINS_STAY,  /* none, or many */
  REMAINS_DIRTY, /* not written yet */
  REMAINS_CLEAN,
};

/* Reading memory.stat costs less than trying. */
static enum remains
remains_of (int fd)
{
  char text[8192];
  int64_t cached;

  if (read_cgroup_file (fd, "memory.stat", text, sizeof text) < 0)
    return REMAINS_STAY;
  cached = cgroup_value_of_key (text, "total_cache");
  if (cached <= 0 || cached > MAX_DROPPED_BYTES)
    return REMAINS_STAY;
  return cgroup_value_of_key (text, "total_dirty") > 0 || cgroup_value_of_key (text, "total_writeback") > 0
             ? REMAINS_DIRTY
             : REMAINS_CLEAN;
}

/* Drops what is cached; returns whether all of it is gone. memory.force_empty does it for certain, but first has every
   processor hand in the pages on its way to the lists, and as a few objects of the kernel's own are always left (they
   go to the cgroup above), it tries five times: 0.2 ms and more, where the limit takes 0.02. It is refused (EBUSY) once
   nothing more can be dropped. */
static bool
drop_cached (int fd, bool for_certain)
{
  write_cgroup_file (fd, for_certain ? "memory.force_empty" : "memory.limit_in_bytes", "0");
  return read_cgroup_number (fd, "memory.usage_in_bytes") <= read_cgroup_number (fd, "memory.kmem.usage_in_bytes");
}

/* Returns whether it is gone. */
static bool
remove_ended (int root, const char *name, long age)
{
  cleanup_close int fd = openat (root, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  bool is_last_time = age >= MAX_AGE_S;
  enum remains remains;

  if (fd < 0)
    return errno == ENOENT || errno == ENODEV;
  remains = remains_of (fd);
  if (remains == REMAINS_DIRTY && !is_last_time)
    return false;
  if (remains == REMAINS_CLEAN && !drop_cached (fd, is_last_time) && !is_last_time)
    return false;
  return unlinkat (root, name, AT_REMOVEDIR) == 0 || errno == ENOENT;
}

int
ts_cgroups_remove_ended (struct ts_cgroups *cgroups, uint32_t *left, struct ts_result *res)
{
  int index = cgroups->layout.unified ? -1 : hierarchy_of (cgroups, CONTROLLER_MEMORY);
  cleanup_close int again = -1;
  cleanup_dir DIR *dir = NULL;
  struct dirent *entry;

  *left = 0;
  if (index < 0)
    return 0;
  again = openat (cgroups->root_fds[index], ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  dir = again < 0 ? NULL : fdopendir (again);
  if (!dir)
    return ts_fail (res, errno, "remove ended cgroups", "%s", cgroups->root);
  steal_fd (&again);
  while ((entry = readdir (dir)))
    {
      long age;

      if (entry->d_type != DT_DIR || !is_ended_cgroup (entry->d_name))
        continue;
      age = uptime_s () - strtol (entry->d_name + sizeof prefix - 1, NULL, 10);
      if (age < MIN_AGE_S || !remove_ended (cgroups->root_fds[index], entry->d_name, age))
        (*left)++;
    }
  return 0;
}

/* Everything in a cgroup and below: processes listed and killed, cgroups listed and removed. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "lib/cgroup.h"
#include "lib/cleanup.h"
#include "lib/syscalls.h"
#include "lib/text-file.h"

enum
{
  MAX_DEPTH = 16,
  MAX_KILLED_AT_ONCE = 256,
  MAX_REMOVED_AT_ONCE = 2000, /* entries of a folder: some 10 ms */
};

struct pid_list
{
  int32_t *pids;
  uint32_t count;
  uint32_t capacity;
};

static int
append_pid (struct pid_list *list, int32_t pid)
{
  if (list->count == list->capacity)
    {
      uint32_t capacity = list->capacity ? list->capacity * 2 : 64;
      int32_t *larger = realloc (list->pids, capacity * sizeof *larger);

      if (!larger)
        return -ENOMEM;
      list->pids = larger;
      list->capacity = capacity;
    }
  list->pids[list->count++] = pid;
  return 0;
}

static int
append_pids_of (int dirfd, struct pid_list *list)
{
  cleanup_free char *text = NULL;
  int err = read_text_file (dirfd, "cgroup.procs", &text);

  if (err < 0)
    return err == -ENODEV || err == -ENOENT ? 0 : err; /* removed meanwhile */
  for (char *at = text, *end; *at; at = end)
    {
      long pid = strtol (at, &end, 10);

      if (end == at)
        break;
      /* 0: a process of another pid namespace. */
      if (pid > 0 && (err = append_pid (list, (int32_t) pid)) < 0)
        return err;
      while (*end == '\n')
        end++;
    }
  return 0;
}

typedef int (*visit_cgroup) (int parent, const char *name, int fd, void *arg);

/* Calls `visit` for all below dirfd, children first. */
static int
walk_below (int dirfd, int depth, visit_cgroup visit, void *arg)
{
  cleanup_close int again = openat (dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  cleanup_dir DIR *dir = again < 0 ? NULL : fdopendir (again);
  struct dirent *entry;

  if (!dir)
    return errno == ENOENT || errno == ENODEV ? 0 : -errno;
  steal_fd (&again);
  if (depth == MAX_DEPTH)
    return -ELOOP;
  while ((entry = readdir (dir)))
    {
      cleanup_close int child = -1;
      int err;

      if (entry->d_type != DT_DIR || strcmp (entry->d_name, ".") == 0 || strcmp (entry->d_name, "..") == 0)
        continue;
      child = openat (dirfd, entry->d_name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
      if (child < 0)
        continue; /* removed meanwhile */
      err = walk_below (child, depth + 1, visit, arg);
      if (err == 0)
        err = visit (dirfd, entry->d_name, child, arg);
      if (err < 0)
        return err;
    }
  return 0;
}

static int
visit_pids (int parent, const char *name, int fd, void *arg)
{
  (void) parent;
  (void) name;
  return append_pids_of (fd, arg);
}

static int
list_pids (int dirfd, struct pid_list *list)
{
  int err = append_pids_of (dirfd, list);

  return err < 0 ? err : walk_below (dirfd, 0, visit_pids, list);
}

static bool
holds_pid (const struct pid_list *list, int32_t pid)
{
  for (uint32_t i = 0; i < list->count; i++)
    if (list->pids[i] == pid)
      return true;
  return false;
}

int
ts_cgroup_processes (struct ts_cgroups *cgroups, const char *path, int32_t *pids, uint32_t capacity, uint32_t *count,
                     struct ts_result *res)
{
  struct pid_list list = { 0 };
  int err = 0;

  if (!is_cgroup_path (path, true))
    return ts_fail (res, EINVAL, "list processes of cgroup", "\"%s\"", path);
  /* Every hierarchy: a process that was killed half way through joining is in some of them only. */
  for (int i = 0; i < cgroups->layout.count && err == 0; i++)
    {
      cleanup_close int fd = open_cgroup_at (cgroups, i, path);
      struct pid_list here = { 0 };

      if (fd == -ENOENT)
        continue;
      err = fd < 0 ? fd : list_pids (fd, &here);
      for (uint32_t k = 0; k < here.count && err == 0; k++)
        if (!holds_pid (&list, here.pids[k]))
          err = append_pid (&list, here.pids[k]);
      free (here.pids);
    }
  *count = list.count;
  for (uint32_t k = 0; k < list.count && k < capacity; k++)
    pids[k] = list.pids[k];
  free (list.pids);
  return err < 0 ? ts_fail (res, -err, "list processes of cgroup", "%s", path) : 0;
}

/* ---- kill ---- */

/* A pid that was listed, then opened, then listed again is what the descriptor holds, or the descriptor's
   process is dead: in no case is a stranger killed who got the pid meanwhile. */
static int
kill_listed (int dirfd, struct pollfd *ends, uint32_t *end_count)
{
  struct pid_list before = { 0 }, after = { 0 };
  int pidfds[MAX_KILLED_AT_ONCE];
  uint32_t count = 0;
  int err = list_pids (dirfd, &before);

  for (; err == 0 && count < before.count && count < MAX_KILLED_AT_ONCE; count++)
    pidfds[count] = sys_pidfd_open (before.pids[count]);
  if (err == 0)
    err = list_pids (dirfd, &after);
  for (uint32_t i = 0; i < count; i++)
    {
      if (err == 0 && pidfds[i] >= 0 && holds_pid (&after, before.pids[i])
          && sys_pidfd_send_signal (pidfds[i], SIGKILL) == 0 && *end_count < MAX_KILLED_AT_ONCE)
        ends[(*end_count)++] = (struct pollfd){ .fd = steal_fd (&pidfds[i]), .events = POLLIN };
      cleanup_closep (&pidfds[i]);
    }
  free (before.pids);
  free (after.pids);
  return err;
}

static void
wait_for_ends (struct pollfd *ends, uint32_t count, int wait_ms)
{
  /* Only a pause: whether all are gone is read from the cgroup. The last one that was signalled ends last,
   * mostly. */
  if (count > 0)
    while (poll (&ends[count - 1], 1, wait_ms) < 0 && errno == EINTR)
      continue;
  for (uint32_t i = 0; i < count; i++)
    close (ends[i].fd);
}

static void
wait_until_empty (int dirfd, int wait_ms)
{
  cleanup_close int fd = openat (dirfd, "cgroup.events", O_RDONLY | O_CLOEXEC);
  struct pollfd change = { .fd = fd, .events = POLLPRI };
  char text[256];

  if (fd < 0)
    return;
  /* Reading arms the notification. */
  for (int tries = 0; tries < 2; tries++)
    {
      ssize_t length = pread (fd, text, sizeof text - 1, 0);

      if (length < 0)
        return;
      text[length] = '\0';
      if (strstr (text, "populated 0") || poll (&change, 1, wait_ms) <= 0)
        return;
    }
}

static int
kill_in_v1 (struct ts_cgroups *cgroups, const char *path, int wait_ms)
{
  int freezer = hierarchy_of (cgroups, CONTROLLER_FREEZER);
  cleanup_close int frozen = freezer < 0 ? -1 : open_cgroup_at (cgroups, freezer, path);
  struct pollfd ends[MAX_KILLED_AT_ONCE];
  uint32_t end_count = 0;
  int err = 0;

  /* Frozen, they cannot fork ahead of the signals. It takes effect when each next returns to user mode; those
     that have not yet when the list is read are met in the next round. */
  if (frozen >= 0)
    write_cgroup_file (frozen, "freezer.state", "FROZEN");
  for (int i = 0; i < cgroups->layout.count && err == 0; i++)
    {
      cleanup_close int fd = open_cgroup_at (cgroups, i, path);

      if (fd == -ENOENT)
        continue;
      err = fd < 0 ? fd : kill_listed (fd, ends, &end_count);
    }
  if (frozen >= 0)
    write_cgroup_file (frozen, "freezer.state", "THAWED");
  wait_for_ends (ends, end_count, wait_ms);
  return err;
}

static int
kill_in_v2 (struct ts_cgroups *cgroups, const char *path, int wait_ms)
{
  cleanup_close int fd = open_cgroup_at (cgroups, 0, path);
  struct pollfd ends[MAX_KILLED_AT_ONCE];
  uint32_t end_count = 0;
  int err;

  if (fd < 0)
    return fd == -ENOENT ? 0 : fd;
  if (write_cgroup_file (fd, "cgroup.kill", "1") == 0)
    {
      wait_until_empty (fd, wait_ms);
      return 0;
    }
  /* Before Linux 5.14. */
  write_cgroup_file (fd, "cgroup.freeze", "1");
  err = kill_listed (fd, ends, &end_count);
  write_cgroup_file (fd, "cgroup.freeze", "0");
  wait_for_ends (ends, end_count, wait_ms);
  return err;
}

int
ts_cgroup_kill (struct ts_cgroups *cgroups, const char *path, int32_t wait_ms, uint32_t *left, struct ts_result *res)
{
  int err;

  if (!is_cgroup_path (path, true))
    return ts_fail (res, EINVAL, "kill cgroup", "\"%s\"", path);
  err = ts_cgroup_processes (cgroups, path, NULL, 0, left, res);
  if (err < 0 || *left == 0)
    return err;
  err = cgroups->layout.unified ? kill_in_v2 (cgroups, path, wait_ms) : kill_in_v1 (cgroups, path, wait_ms);
  if (err < 0)
    return ts_fail (res, -err, "kill cgroup", "%s", path);
  return ts_cgroup_processes (cgroups, path, NULL, 0, left, res);
}

/* ---- list and remove ---- */

static int
append_names (int dirfd, bool of_root, char *out, uint32_t size, uint32_t *used)
{
  cleanup_close int again = openat (dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  cleanup_dir DIR *dir = again < 0 ? NULL : fdopendir (again);
  struct dirent *entry;

  if (!dir)
    return -errno;
  steal_fd (&again);
  while ((entry = readdir (dir)))
    {
      int length;

      if (entry->d_type != DT_DIR || strcmp (entry->d_name, ".") == 0 || strcmp (entry->d_name, "..") == 0)
        continue;
      if (of_root && is_ended_cgroup (entry->d_name))
        continue;
      length = snprintf (out + *used, size - *used, "%s\n", entry->d_name);
      if (length < 0 || (uint32_t) length >= size - *used)
        return -ENOBUFS;
      *used += (uint32_t) length;
    }
  return 0;
}

/* Names may repeat, once for each hierarchy. */
int
ts_cgroup_list (struct ts_cgroups *cgroups, const char *path, char *out, uint32_t size, struct ts_result *res)
{
  uint32_t used = 0;

  if (!is_cgroup_path (path, true) || size == 0)
    return ts_fail (res, EINVAL, "list cgroup", "\"%s\"", path);
  out[0] = '\0';
  for (int i = 0; i < cgroups->layout.count; i++)
    {
      cleanup_close int fd = open_cgroup_at (cgroups, i, path);
      int err = fd;

      if (fd == -ENOENT)
        continue;
      if (fd >= 0)
        err = append_names (fd, *path == '\0', out, size, &used);
      if (err < 0)
        return ts_fail (res, -err, "list cgroup", "%s", path);
    }
  return 0;
}

static int remove_tree (int parent, const char *name, int depth, uint32_t *busy);

static int
remove_below (int parent, const char *name, int depth, uint32_t *busy)
{
  cleanup_close int fd = openat (parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  cleanup_dir DIR *dir = fd < 0 ? NULL : fdopendir (fd);
  struct dirent *entry;

  if (!dir)
    return errno == ENOENT || errno == ENODEV ? 0 : -errno;
  steal_fd (&fd);
  if (depth == MAX_DEPTH)
    return -ELOOP;
  while ((entry = readdir (dir)))
    {
      int err;

      if (entry->d_type != DT_DIR || strcmp (entry->d_name, ".") == 0 || strcmp (entry->d_name, "..") == 0)
        continue;
      err = remove_tree (dirfd (dir), entry->d_name, depth + 1, busy);
      if (err < 0)
        return err;
    }
  return 0;
}

/* Removes the cgroup and those below, children first. One that the kernel still holds is counted: a process that ends
   leaves its cgroup a moment after it was seen to end. */
static int
remove_tree (int parent, const char *name, int depth, uint32_t *busy)
{
  int err;

  /* Most have no children. */
  if (unlinkat (parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
    return 0;
  if (errno != EBUSY && errno != ENOTEMPTY)
    return -errno;
  err = remove_below (parent, name, depth, busy);
  if (err < 0)
    return err;
  if (unlinkat (parent, name, AT_REMOVEDIR) == 0 || errno == ENOENT)
    return 0;
  if (errno != EBUSY && errno != ENOTEMPTY)
    return -errno;
  (*busy)++;
  return 0;
}

/* As remove_tree, of a v1 memory cgroup of a pod. */
static int
remove_set_aside (struct ts_cgroups *cgroups, int index, const char *path, uint32_t *busy)
{
  int err = set_ended_cgroup_aside (cgroups, index, path);

  if (err == -EBUSY)
    {
      err = remove_below (cgroups->root_fds[index], path, 0, busy);
      if (err == 0)
        err = set_ended_cgroup_aside (cgroups, index, path);
    }
  if (err != -EBUSY)
    return err;
  (*busy)++;
  return 0;
}

static int
remove_in_hierarchy (struct ts_cgroups *cgroups, int index, const char *path, uint32_t *busy)
{
  bool is_v1_memory = !cgroups->layout.unified && (cgroups->layout.hierarchies[index].controllers & CONTROLLER_MEMORY);
  cleanup_close int mount = -1;

  if (is_v1_memory && *path && !strchr (path, '/'))
    return remove_set_aside (cgroups, index, path, busy);
  if (*path)
    return remove_tree (cgroups->root_fds[index], path, 0, busy);
  mount = open (cgroups->layout.hierarchies[index].mount, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  return mount < 0 ? -errno : remove_tree (mount, cgroups->root, 0, busy);
}

int
ts_cgroup_remove (struct ts_cgroups *cgroups, const char *path, uint32_t *busy, struct ts_result *res)
{
  const struct cgroup_layout *layout = &cgroups->layout;

  *busy = 0;
  if (!is_cgroup_path (path, true))
    return ts_fail (res, EINVAL, "remove cgroup", "\"%s\"", path);
  /* The hierarchies without controllers have the root only. */
  for (int i = 0; i < layout->count + (*path ? 0 : layout->bare_count); i++)
    {
      int err = remove_in_hierarchy (cgroups, i, path, busy);

      if (err < 0)
        return ts_fail (res, -err, "remove cgroup", "\"%s\" in %s", path, cgroups->layout.hierarchies[i].mount);
    }
  return 0;
}

int
ts_cgroup_clear (struct ts_cgroups *cgroups, const char *path, int32_t wait_ms, uint32_t *busy, struct ts_result *res)
{
  int err = ts_cgroup_remove (cgroups, path, busy, res);

  if (err < 0 || *busy == 0)
    return err;
  err = ts_cgroup_kill (cgroups, path, wait_ms, busy, res);
  return err < 0 ? err : ts_cgroup_remove (cgroups, path, busy, res);
}

/* Then the cgroup itself goes at once, and need not be read. What cannot be removed is met again when it is. */
static void
remove_children (struct ts_cgroups *cgroups, const char *path, const char *const *children)
{
  for (; *children; children++)
    {
      char child[PATH_MAX];

      if (snprintf (child, sizeof child, "%s/%s", path, *children) < (int) sizeof child
          && is_cgroup_path (child, false))
        for (int i = 0; i < cgroups->layout.count; i++)
          unlinkat (cgroups->root_fds[i], child, AT_REMOVEDIR);
    }
}

/* A process leaves its cgroups before its end is told. That of a stranger who got the pid is waited for no longer. */
static void
wait_for_end (pid_t pid, int wait_ms)
{
  cleanup_close int fd = pid > 0 ? sys_pidfd_open (pid) : -1;
  struct pollfd end = { .fd = fd, .events = POLLIN };

  if (fd >= 0)
    poll (&end, 1, wait_ms);
}

int
ts_sandbox_clear (struct ts_cgroups *cgroups, int32_t shim, const char *path, const char *const *children,
                  const char *folder, int32_t wait_ms, uint32_t *left, struct ts_result *res)
{
  int32_t done = 0;
  int err;

  wait_for_end (shim, wait_ms);
  remove_children (cgroups, path, children);
  err = ts_cgroup_clear (cgroups, path, wait_ms, left, res);
  if (err < 0 || *left > 0)
    return err;
  err = ts_remove_tree (folder, MAX_REMOVED_AT_ONCE, &done, res);
  *left = done ? 0 : 1;
  return err;
}

/* What the shim itself asks of a container's cgroups; making and removing them is the agent's. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "container/syscalls.h"
#include "lib/cleanup.h"
#include "shim/shim.h"

/* Reads a small file whole; returns its length or -errno. */
static ssize_t
read_file (const char *dir, const char *name, char *text, size_t size)
{
  char path[PATH_MAX];
  cleanup_close int fd = -1;
  ssize_t used;

  if (snprintf (path, sizeof path, "%s/%s", dir, name) >= (int) sizeof path)
    return -ENAMETOOLONG;
  fd = sys_open (path, O_RDONLY);
  if (fd < 0)
    return -errno;
  used = read (fd, text, size - 1);
  if (used < 0)
    return -errno;
  text[used] = '\0';
  return used;
}

/* The number after "oom_kill " at the start of a line: v1's memory.oom_control and v2's memory.events alike. */
static unsigned long
parse_oom_kills (const char *text)
{
  static const char key[] = "oom_kill ";

  for (const char *line = text; line; line = strchr (line, '\n'))
    {
      line += *line == '\n';
      if (strncmp (line, key, sizeof key - 1) == 0)
        return strtoul (line + sizeof key - 1, NULL, 10);
    }
  return 0;
}

bool
ts_was_oom_killed (char *const *cgroup_dirs)
{
  const char *memory = cgroup_dirs[0];
  char text[512];

  return memory
         && (read_file (memory, "memory.events", text, sizeof text) > 0
             || read_file (memory, "memory.oom_control", text, sizeof text) > 0)
         && parse_oom_kills (text) > 0;
}

static bool
write_kill (const char *dir)
{
  char path[PATH_MAX];
  cleanup_close int fd = -1;

  snprintf (path, sizeof path, "%s/cgroup.kill", dir);
  fd = sys_open (path, O_WRONLY);
  return fd >= 0 && write (fd, "1", 1) == 1;
}

/* Returns how many were there. */
static size_t
kill_members (const char *dir)
{
  char path[PATH_MAX];
  cleanup_file FILE *file = NULL;
  size_t count = 0;
  int pid;

  snprintf (path, sizeof path, "%s/cgroup.procs", dir);
  file = fopen (path, "re");
  while (file && fscanf (file, "%d", &pid) == 1)
    if (pid > 0 && kill (pid, SIGKILL) == 0)
      count++;
  return count;
}

/* Members of one cgroup can fork between two looks, so a few rounds; the agent waits for the cgroup to be empty. */
void
ts_kill_cgroup (char *const *cgroup_dirs)
{
  if (!cgroup_dirs[0] || write_kill (cgroup_dirs[0]))
    return;
  for (int round = 0; round < 8 && kill_members (cgroup_dirs[0]) > 0; round++)
    continue;
}

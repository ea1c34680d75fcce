/* What a cgroup uses, read from the few files that cost little. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "lib/cgroup.h"
#include "lib/cleanup.h"

/* The number after "key " at the start of a line, or -1. */
static int64_t
value_of_key (const char *text, const char *key)
{
  size_t length = strlen (key);

  for (const char *line = text; line; line = strchr (line, '\n'))
    {
      line += *line == '\n';
      if (strncmp (line, key, length) == 0 && line[length] == ' ')
        return strtoll (line + length + 1, NULL, 10);
    }
  return -1;
}

static int64_t
read_key (int dirfd, const char *file, const char *key)
{
  char text[8192];

  return read_cgroup_file (dirfd, file, text, sizeof text) < 0 ? -1 : value_of_key (text, key);
}

static int64_t
read_number (int dirfd, const char *file)
{
  char text[64];

  return read_cgroup_file (dirfd, file, text, sizeof text) <= 0 ? -1 : strtoll (text, NULL, 10);
}

static void
read_usage_v2 (int fd, struct ts_cgroup_usage *out, int64_t *inactive_file)
{
  int64_t usec = read_key (fd, "cpu.stat", "usage_usec");

  out->cpu_ns = usec < 0 ? -1 : usec * 1000;
  out->memory_bytes = read_number (fd, "memory.current");
  *inactive_file = read_key (fd, "memory.stat", "inactive_file");
  out->pids = read_number (fd, "pids.current");
  out->oom_kills = read_key (fd, "memory.events", "oom_kill");
}

static void
read_usage_v1 (int fd, unsigned controllers, struct ts_cgroup_usage *out, int64_t *inactive_file)
{
  if (controllers & CONTROLLER_CPUACCT)
    out->cpu_ns = read_number (fd, "cpuacct.usage");
  if (controllers & CONTROLLER_PIDS)
    out->pids = read_number (fd, "pids.current");
  if (controllers & CONTROLLER_MEMORY)
    {
      out->memory_bytes = read_number (fd, "memory.usage_in_bytes");
      *inactive_file = read_key (fd, "memory.stat", "total_inactive_file");
      out->oom_kills = read_key (fd, "memory.oom_control", "oom_kill");
    }
}

int
ts_cgroup_usage (struct ts_cgroups *cgroups, const char *path, struct ts_cgroup_usage *out, struct ts_result *res)
{
  const unsigned counting = CONTROLLER_CPUACCT | CONTROLLER_PIDS | CONTROLLER_MEMORY;
  int64_t inactive_file = -1;

  if (!is_cgroup_path (path, true))
    return ts_fail (res, EINVAL, "read cgroup", "\"%s\"", path);
  *out = (struct ts_cgroup_usage){ -1, -1, -1, -1, -1 };
  for (int i = 0; i < cgroups->layout.count; i++)
    {
      cleanup_close int fd = -1;

      if (!cgroups->layout.unified && !(cgroups->layout.hierarchies[i].controllers & counting))
        continue;
      fd = open_cgroup_at (cgroups, i, path);
      if (fd < 0)
        return ts_fail (res, -fd, "read cgroup", "\"%s\" in %s", path, cgroups->layout.hierarchies[i].mount);
      if (cgroups->layout.unified)
        read_usage_v2 (fd, out, &inactive_file);
      else
        read_usage_v1 (fd, cgroups->layout.hierarchies[i].controllers, out, &inactive_file);
    }
  if (out->memory_bytes >= 0 && inactive_file >= 0)
    out->memory_working_set_bytes = out->memory_bytes > inactive_file ? out->memory_bytes - inactive_file : 0;
  return 0;
}

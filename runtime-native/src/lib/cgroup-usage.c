/* What a cgroup uses, read from the few files that cost little. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "lib/cgroup.h"
#include "lib/cleanup.h"

int64_t
cgroup_value_of_key (const char *text, const char *key)
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

  return read_cgroup_file (dirfd, file, text, sizeof text) < 0 ? -1 : cgroup_value_of_key (text, key);
}

int64_t
read_cgroup_number (int dirfd, const char *file)
{
  char text[64];

  return read_cgroup_file (dirfd, file, text, sizeof text) <= 0 ? -1 : strtoll (text, NULL, 10);
}

static void
read_sample_v2 (int fd, struct ts_cgroup_sample *out, int64_t *memory, int64_t *inactive_file)
{
  int64_t usec = read_key (fd, "cpu.stat", "usage_usec");

  out->cpu_ns = usec < 0 ? -1 : usec * 1000;
  *memory = read_cgroup_number (fd, "memory.current");
  *inactive_file = read_key (fd, "memory.stat", "inactive_file");
}

static void
read_sample_v1 (int fd, unsigned controllers, struct ts_cgroup_sample *out, int64_t *memory, int64_t *inactive_file)
{
  if (controllers & CONTROLLER_CPUACCT)
    out->cpu_ns = read_cgroup_number (fd, "cpuacct.usage");
  if (controllers & CONTROLLER_MEMORY)
    {
      *memory = read_cgroup_number (fd, "memory.usage_in_bytes");
      *inactive_file = read_key (fd, "memory.stat", "total_inactive_file");
    }
}

static int64_t
uptime_ns (void)
{
  struct timespec now;

  clock_gettime (CLOCK_MONOTONIC, &now);
  return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* *memory is everything charged. Returns 0 or -errno. */
static int
read_sample (struct ts_cgroups *cgroups, const char *path, struct ts_cgroup_sample *out, int64_t *memory)
{
  int64_t inactive_file = -1;

  *memory = -1;
  *out = (struct ts_cgroup_sample){ uptime_ns (), -1, -1 };
  for (int i = 0; i < cgroups->layout.count; i++)
    {
      unsigned controllers = cgroups->layout.hierarchies[i].controllers;
      cleanup_close int fd = -1;

      if (!cgroups->layout.unified && !(controllers & (CONTROLLER_CPUACCT | CONTROLLER_MEMORY)))
        continue;
      fd = open_cgroup_at (cgroups, i, path);
      if (fd < 0)
        return fd;
      if (cgroups->layout.unified)
        read_sample_v2 (fd, out, memory, &inactive_file);
      else
        read_sample_v1 (fd, controllers, out, memory, &inactive_file);
    }
  if (*memory >= 0 && inactive_file >= 0)
    out->memory_working_set_bytes = *memory > inactive_file ? *memory - inactive_file : 0;
  return 0;
}

int
ts_cgroup_samples (struct ts_cgroups *cgroups, const char *paths, struct ts_cgroup_sample *out, uint32_t count,
                   struct ts_result *res)
{
  for (uint32_t i = 0; i < count; i++)
    {
      const char *end = strchr (paths, '\n');
      cleanup_free char *path = end ? strndup (paths, (size_t) (end - paths)) : NULL;
      int64_t memory;
      int status;

      if (!path)
        return ts_fail (res, end ? ENOMEM : EINVAL, "read cgroups", "%u of %u", i, count);
      if (!is_cgroup_path (path, true))
        return ts_fail (res, EINVAL, "read cgroups", "\"%s\"", path);
      status = read_sample (cgroups, path, &out[i], &memory);
      if (status < 0)
        out[i] = (struct ts_cgroup_sample){ status, -1, -1 };
      paths = end + 1;
    }
  return 0;
}

/* The number in a file of the hierarchy that has the controller, behind the key if there is one; -1 where it is not
   counted. */
static int64_t
read_counter (struct ts_cgroups *cgroups, unsigned controller, const char *path, const char *file, const char *key)
{
  int index = cgroups->layout.unified ? 0 : hierarchy_of (cgroups, controller);
  cleanup_close int fd = index < 0 ? -1 : open_cgroup_at (cgroups, index, path);

  if (fd < 0)
    return -1;
  return key ? read_key (fd, file, key) : read_cgroup_number (fd, file);
}

int
ts_cgroup_usage (struct ts_cgroups *cgroups, const char *path, struct ts_cgroup_usage *out, struct ts_result *res)
{
  const char *events = cgroups->layout.unified ? "memory.events" : "memory.oom_control";
  struct ts_cgroup_sample sample;
  int64_t memory;
  int status;

  if (!is_cgroup_path (path, true))
    return ts_fail (res, EINVAL, "read cgroup", "\"%s\"", path);
  status = read_sample (cgroups, path, &sample, &memory);
  if (status < 0)
    return ts_fail (res, -status, "read cgroup", "\"%s\"", path);
  *out = (struct ts_cgroup_usage){
    .cpu_ns = sample.cpu_ns,
    .memory_bytes = memory,
    .memory_working_set_bytes = sample.memory_working_set_bytes,
    .pids = read_counter (cgroups, CONTROLLER_PIDS, path, "pids.current", NULL),
    .oom_kills = read_counter (cgroups, CONTROLLER_MEMORY, path, events, "oom_kill"),
  };
  return 0;
}

#include "cgroup.h"

#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <time.h>

static const char *const v1_controllers[]
    = { "cpuset",  "cpu",        "cpuacct",  "blkio",   "memory", "devices", "freezer",
        "net_cls", "perf_event", "net_prio", "hugetlb", "pids",   "rdma",    "misc" };

static bool
is_v1_controller (const char *word)
{
  for (size_t i = 0; i < sizeof v1_controllers / sizeof *v1_controllers; i++)
    if (strcmp (word, v1_controllers[i]) == 0)
      return true;
  return false;
}

static void
append_option (char *options, size_t size, const char *word)
{
  size_t length = strlen (options);
  snprintf (options + length, size - length, "%s%s", length > 0 ? "," : "", word);
}

/* Of "rw,xattr,name=systemd" or "rw,cpu,cpuacct" keeps what names the hierarchy. */
static void
keep_naming_options (char *super_options, char *options, size_t size)
{
  char *rest;

  options[0] = '\0';
  for (char *word = strtok_r (super_options, ",", &rest); word != NULL; word = strtok_r (NULL, ",", &rest))
    {
      if (is_v1_controller (word))
        append_option (options, size, word);
      else if (strncmp (word, "name=", 5) == 0)
        {
          append_option (options, size, "none");
          append_option (options, size, word);
        }
    }
}

static bool
is_known (const struct hierarchies *hierarchies, const char *device)
{
  for (int i = 0; i < hierarchies->count; i++)
    if (strcmp (hierarchies->items[i].device, device) == 0)
      return true;
  return false;
}

/* One line: "36 35 98:0 /root /mount/point rw,noatime master:1 - type source super,options". */
static void
parse_line (char *line, struct hierarchies *hierarchies)
{
  char device[16], mount[128], type[32], super_options[256];
  char *separator = strstr (line, " - ");

  if (separator == NULL || hierarchies->count == MAX_HIERARCHIES)
    return;
  if (sscanf (line, "%*s %*s %15s %*s %127s", device, mount) != 2)
    return;
  if (sscanf (separator, " - %31s %*s %255s", type, super_options) != 2)
    return;
  bool is_v2 = strcmp (type, "cgroup2") == 0;
  if ((!is_v2 && strcmp (type, "cgroup") != 0) || is_known (hierarchies, device))
    return;

  struct hierarchy *item = &hierarchies->items[hierarchies->count++];
  snprintf (item->device, sizeof item->device, "%s", device);
  snprintf (item->mount, sizeof item->mount, "%s", mount);
  item->is_v2 = is_v2;
  keep_naming_options (super_options, item->options, sizeof item->options);
}

void
hierarchies_parse (char *mountinfo, struct hierarchies *hierarchies)
{
  char *rest;

  hierarchies->count = 0;
  for (char *line = strtok_r (mountinfo, "\n", &rest); line != NULL; line = strtok_r (NULL, "\n", &rest))
    parse_line (line, hierarchies);
}

int
hierarchies_read (struct hierarchies *hierarchies, struct failure *failure)
{
  enum
  {
    SIZE = 4 * 1024 * 1024
  };
  char *text = malloc (SIZE);
  if (text == NULL)
    return fail (failure, errno, "allocate memory");
  if (file_read_at (AT_FDCWD, "/proc/self/mountinfo", text, SIZE) < 0)
    {
      int error = errno;
      free (text);
      return fail (failure, error, "read /proc/self/mountinfo");
    }
  hierarchies_parse (text, hierarchies);
  free (text);
  if (hierarchies->count == 0)
    return fail (failure, 0, "no cgroup hierarchy is mounted (usually below /sys/fs/cgroup)");
  return 0;
}

/* A v1 cpuset starts empty, and no process can be in it before it has what its parent has. */
static int
inherit_cpuset (int parent, int child, struct failure *failure)
{
  static const char *const files[] = { "cpuset.cpus", "cpuset.mems" };
  char value[4096];

  for (size_t i = 0; i < 2; i++)
    {
      ssize_t length = file_read_at (child, files[i], value, sizeof value);
      if (length < 0 && errno == ENOENT)
        return 0;
      if (length > 1)
        continue;
      if (file_read_at (parent, files[i], value, sizeof value) < 0
          || file_write_at (child, files[i], value) < 0)
        return fail (failure, errno, "initialise %s", files[i]);
    }
  return 0;
}

/* Gives the children of a v2 cgroup every controller that it has itself. A controller that cannot be had (of
   a kernel without it, or in use by v1) is left out. */
static void
enable_controllers (int cgroup)
{
  char names[512], change[64], *rest;

  if (file_read_at (cgroup, "cgroup.controllers", names, sizeof names) < 0)
    return;
  for (char *name = strtok_r (names, " \n", &rest); name != NULL; name = strtok_r (NULL, " \n", &rest))
    {
      snprintf (change, sizeof change, "+%s", name);
      (void)file_write_at (cgroup, "cgroup.subtree_control", change);
    }
}

/* Returns a descriptor of the child, made if needed. */
static int
make_child (int parent, const char *name, bool is_v2, struct failure *failure)
{
  if (mkdirat (parent, name, 0755) < 0 && errno != EEXIST)
    return fail (failure, errno, "make cgroup \"%s\"", name);
  int child = openat (parent, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (child < 0)
    return fail (failure, errno, "open cgroup \"%s\"", name);
  if (!is_v2 && inherit_cpuset (parent, child, failure) < 0)
    {
      close (child);
      return -1;
    }
  return child;
}

static int
join_one (const struct hierarchy *hierarchy, const char *path, struct failure *failure)
{
  char names[256], *rest;
  cleanup_close int cgroup = open (hierarchy->mount, O_PATH | O_DIRECTORY | O_CLOEXEC);

  if (cgroup < 0)
    return fail (failure, errno, "open %s", hierarchy->mount);
  snprintf (names, sizeof names, "%s", path);
  for (char *name = strtok_r (names, "/", &rest); name != NULL; name = strtok_r (NULL, "/", &rest))
    {
      struct failure inner;
      if (hierarchy->is_v2)
        enable_controllers (cgroup);
      int child = make_child (cgroup, name, hierarchy->is_v2, &inner);
      if (child < 0)
        return fail (failure, 0, "in %s: %s", hierarchy->mount, inner.text);
      close (cgroup);
      cgroup = child;
    }
  if (file_write_at (cgroup, "cgroup.procs", "0") < 0)
    return fail (failure, errno, "join cgroup %s/%s", hierarchy->mount, path);
  return 0;
}

int
cgroup_join (const struct hierarchies *hierarchies, const char *path, struct failure *failure)
{
  for (int i = 0; i < hierarchies->count; i++)
    if (join_one (&hierarchies->items[i], path, failure) < 0)
      return -1;
  return 0;
}

/* Programs look for "cpu" although the hierarchy is mounted as "cpu,cpuacct". */
static void
link_controllers (const char *folder)
{
  char names[128], link[192], *rest;

  if (strchr (folder, ',') == NULL)
    return;
  snprintf (names, sizeof names, "%s", folder);
  for (char *name = strtok_r (names, ",", &rest); name != NULL; name = strtok_r (NULL, ",", &rest))
    {
      snprintf (link, sizeof link, "/sys/fs/cgroup/%s", name);
      (void)symlink (folder, link);
    }
}

/* Waits until a v2 cgroup has no process of its own: while it has any, and controllers for its children, no
   child can have one (cgroup-v2.rst, "No Internal Process Constraint"). The launcher may be ending yet. */
static int
await_empty (int cgroup, struct failure *failure)
{
  const struct timespec moment = { .tv_nsec = 1000000 };
  char pids[64];

  for (int waited_ms = 0; waited_ms < 10000; waited_ms++)
    {
      ssize_t length = file_read_at (cgroup, "cgroup.procs", pids, sizeof pids);
      if (length <= 0)
        return length < 0 ? fail (failure, errno, "read the processes of the node's cgroup") : 0;
      nanosleep (&moment, NULL);
    }
  return fail (failure, 0, "the node's cgroup has processes besides its init: %s", pids);
}

static int
mount_one (const struct hierarchy *hierarchy, const char *target, struct failure *failure)
{
  const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
  int result = hierarchy->is_v2 ? mount ("cgroup2", target, "cgroup2", flags, NULL)
                                : mount ("cgroup", target, "cgroup", flags, hierarchy->options);
  if (result < 0)
    return fail (failure, errno, "mount cgroup \"%s\" at %s", hierarchy->options, target);
  if (!hierarchy->is_v2)
    return 0;

  cleanup_close int root = open (target, O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (root < 0)
    return fail (failure, errno, "open %s", target);
  cleanup_close int leaf = make_child (root, "init", true, failure);
  if (leaf < 0)
    return -1;
  if (file_write_at (leaf, "cgroup.procs", "0") < 0)
    return fail (failure, errno, "join cgroup %s/init", target);
  if (await_empty (root, failure) < 0)
    return -1;
  enable_controllers (root);
  return 0;
}

int
cgroup_mount (const struct hierarchies *hierarchies, struct failure *failure)
{
  static const char base[] = "/sys/fs/cgroup";

  if (hierarchies->count == 1 && hierarchies->items[0].is_v2)
    return mount_one (&hierarchies->items[0], base, failure);

  if (mount ("tmpfs", base, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=755") < 0)
    return fail (failure, errno, "mount tmpfs at %s", base);
  for (int i = 0; i < hierarchies->count; i++)
    {
      char mounted[128], target[160];
      snprintf (mounted, sizeof mounted, "%s", hierarchies->items[i].mount);
      const char *folder = basename (mounted);
      snprintf (target, sizeof target, "%s/%s", base, folder);
      if (mkdir (target, 0755) < 0)
        return fail (failure, errno, "make %s", target);
      if (mount_one (&hierarchies->items[i], target, failure) < 0)
        return -1;
      link_controllers (folder);
    }
  return 0;
}

int
cgroup_signal (const struct hierarchies *hierarchies, const char *path, int signal)
{
  char file[512], line[32];
  int count = 0;

  snprintf (file, sizeof file, "%s/%s/cgroup.procs", hierarchies->items[0].mount, path);
  FILE *procs = fopen (file, "re");
  if (procs == NULL)
    return 0;
  while (fgets (line, sizeof line, procs) != NULL)
    {
      pid_t pid = (pid_t)strtol (line, NULL, 10);
      if (pid > 1 && pid != getpid () && kill (pid, signal) == 0)
        count++;
    }
  fclose (procs);
  return count;
}

/* Which cgroup hierarchies there are, and the text rules about them: no system calls here. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cgroup.h"
#include "lib/mounts.h"

static const struct
{
  const char *name;
  unsigned bit;
} controller_names[] = {
  { "cpu", CONTROLLER_CPU },         { "cpuacct", CONTROLLER_CPUACCT }, { "cpuset", CONTROLLER_CPUSET },
  { "memory", CONTROLLER_MEMORY },   { "pids", CONTROLLER_PIDS },       { "freezer", CONTROLLER_FREEZER },
  { "devices", CONTROLLER_DEVICES }, { "blkio", CONTROLLER_IO },        { "hugetlb", CONTROLLER_HUGETLB },
};

static unsigned
controllers_of_options (char *options)
{
  unsigned found = 0;
  char *rest = options, *word;

  while ((word = strsep (&rest, ",")))
    for (size_t i = 0; i < sizeof controller_names / sizeof *controller_names; i++)
      if (strcmp (word, controller_names[i].name) == 0)
        found |= controller_names[i].bit;
  return found;
}

static bool
names_systemd (const char *options)
{
  const char *at = strstr (options, "name=systemd");

  return at && (at == options || at[-1] == ',') && (at[12] == '\0' || at[12] == ',');
}

static void
add_hierarchy (struct cgroup_layout *layout, unsigned controllers, const char *mount)
{
  if (layout->count == MAX_HIERARCHIES)
    return;
  layout->hierarchies[layout->count].controllers = controllers;
  snprintf (layout->hierarchies[layout->count].mount, PATH_MAX, "%s", mount);
  layout->count++;
}

/* Puts hierarchies without controllers behind the others. */
static void
append_bare (struct cgroup_layout *layout, const struct cgroup_layout *bare)
{
  for (int i = 0; i < bare->count && layout->count + layout->bare_count < MAX_HIERARCHIES; i++)
    layout->hierarchies[layout->count + layout->bare_count++] = bare->hierarchies[i];
}

/* "36 35 0:30 ROOT MOUNTPOINT OPTIONS [TAGS...] - TYPE SOURCE SUPER_OPTIONS" */
static void
parse_mount_line (char *line, struct cgroup_layout *v1, struct cgroup_layout *v2, struct cgroup_layout *named,
                  unsigned *seen)
{
  char *rest = line, *fields[6], *type, *options;
  unsigned controllers;

  for (int i = 0; i < 6; i++)
    if (!(fields[i] = strsep (&rest, " ")))
      return;
  if (!rest)
    return;
  /* Optional tags may be absent: the separator is then all that is left before the type. */
  rest = strncmp (rest, "- ", 2) == 0 ? rest + 2 : strstr (rest, " - ") ? strstr (rest, " - ") + 3 : NULL;
  if (!rest || !(type = strsep (&rest, " ")) || !strsep (&rest, " ") || !(options = rest))
    return;
  /* A mount whose root lies above this cgroup namespace shows somebody else's cgroups. */
  if (strncmp (fields[3], "/..", 3) == 0)
    return;
  unescape_mount_path (fields[4]);
  if (strcmp (type, "cgroup2") == 0 && v2->count == 0)
    add_hierarchy (v2, 0, fields[4]);
  if (strcmp (type, "cgroup") != 0)
    return;
  if (named->count == 0 && names_systemd (options))
    add_hierarchy (named, 0, fields[4]);
  controllers = controllers_of_options (options);
  if (controllers == 0 || (controllers & *seen) != 0)
    return;
  *seen |= controllers;
  add_hierarchy (v1, controllers, fields[4]);
}

/* The shim looks there, and only there, for what the kernel killed. */
static void
put_memory_first (struct cgroup_layout *layout)
{
  for (int i = 0; i < layout->count; i++)
    if (layout->hierarchies[i].controllers & CONTROLLER_MEMORY)
      {
        struct cgroup_hierarchy memory = layout->hierarchies[i];

        layout->hierarchies[i] = layout->hierarchies[0];
        layout->hierarchies[0] = memory;
        return;
      }
}

int
parse_cgroup_mounts (const char *mountinfo, struct cgroup_layout *layout)
{
  struct cgroup_layout v2 = { .unified = true }, named = { 0 };
  char *text = strdup (mountinfo), *rest = text, *line;
  unsigned seen = 0;

  if (!text)
    return -ENOMEM;
  memset (layout, 0, sizeof *layout);
  while ((line = strsep (&rest, "\n")))
    parse_mount_line (line, layout, &v2, &named, &seen);
  free (text);
  if (seen & CONTROLLER_MEMORY)
    {
      put_memory_first (layout);
      append_bare (layout, &named);
      append_bare (layout, &v2);
      return 0;
    }
  *layout = v2;
  return layout->count == 0 ? -ENOENT : 0;
}

bool
is_cgroup_path (const char *path, bool allow_root)
{
  const char *part = path;

  if (*path == '\0')
    return allow_root;
  for (;;)
    {
      size_t length = strcspn (part, "/");

      if (length == 0 || length > NAME_MAX || strchr (part, '\n') || (length == 1 && part[0] == '.')
          || (length == 2 && part[0] == '.' && part[1] == '.'))
        return false;
      if (part[length] == '\0')
        return strlen (path) < PATH_MAX / 4;
      part += length + 1;
    }
}

int64_t
weight_of_shares (int64_t shares)
{
  double log_shares, exponent;

  if (shares <= 2)
    return 1;
  if (shares >= 262144)
    return 10000;
  /* A parabola through (2, 1), (1024, 100) and (262144, 10000) in logarithms of both scales. */
  log_shares = log2 ((double) shares);
  exponent = (log_shares * log_shares + 125 * log_shares) / 612.0 - 7.0 / 34.0;
  return (int64_t) ceil (pow (10, exponent) - 1e-9);
}

/* A cgroup of one's own in every controller, on v1, v2 and the mixture of both. */
#pragma once

#include "fail.h"

#include <stdbool.h>

enum
{
  MAX_HIERARCHIES = 32
};

struct hierarchy
{
  /* Where the machine has it mounted: "/sys/fs/cgroup/memory". */
  char mount[128];
  /* Device number as mountinfo has it: one hierarchy mounted twice is one hierarchy. */
  char device[16];
  /* v1: what to give mount(2) as data, "cpu,cpuacct" or "none,name=systemd". */
  char options[96];
  bool is_v2;
};

struct hierarchies
{
  struct hierarchy items[MAX_HIERARCHIES];
  int count;
};

/* Parses the text of /proc/self/mountinfo. Kept apart from reading it for the tests. */
void hierarchies_parse (char *mountinfo, struct hierarchies *hierarchies);

int hierarchies_read (struct hierarchies *hierarchies, struct failure *failure);

/* Makes the cgroup in every hierarchy and moves the calling process there. */
int cgroup_join (const struct hierarchies *hierarchies, const char *path, struct failure *failure);

/* In a fresh mount and cgroup namespace: mounts every hierarchy again below /sys/fs/cgroup, so that its root
   is the namespace's. Needs a sysfs at /sys. Moves the caller out of the v2 root, which must hold no process
   for its children to have limits. */
int cgroup_mount (const struct hierarchies *hierarchies, struct failure *failure);

/* Sends signal to every process of the cgroup but the caller; returns how many there were. */
int cgroup_signal (const struct hierarchies *hierarchies, const char *path, int signal);

/* What makes a process tree a machine of its own. */
#pragma once

#include "cgroup.h"
#include "fail.h"
#include "options.h"

/* The namespaces of a node, for clone(2). */
extern const int node_namespaces;

/* Cuts the caller's mount namespace off the machine's: what is mounted from now on stays here. */
int node_detach_mounts (struct failure *failure);

/* In the new namespaces, as PID 1: host name, folders, /proc, /sys, /dev/shm, cgroups, loopback. */
int node_enter (const struct options *options, const struct hierarchies *hierarchies,
                struct failure *failure);

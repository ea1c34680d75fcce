/* The command line. */
#pragma once

#include "fail.h"

#include <stdbool.h>

enum
{
  MAX_MOUNTS = 16
};

/* A folder of the machine that a node sees elsewhere ("SOURCE:TARGET"), or a tmpfs (no source). */
struct node_mount
{
  const char *source;
  const char *target;
};

struct options
{
  /* True: a node with namespaces of its own. False: a service of the machine. */
  bool is_node;
  /* Host name of the node. */
  const char *name;
  /* Path of the cgroup below the root of every hierarchy; the process and all its children live there. */
  const char *cgroup;
  /* Where pid and start time are written. */
  const char *state_path;
  /* Where the command's output and the supervisor's own words go. */
  const char *log_path;
  struct node_mount mounts[MAX_MOUNTS];
  int mount_count;
  /* Do not start the command before this link has an IPv4 address. */
  const char *await_address;
  /* How long the command may take to end after TERM before it is killed. */
  int grace_ms;
  char **command;
};

/* Fills in *options from the command line. Returns 0, or -1 with *failure. */
int options_parse (int argc, char **argv, struct options *options, struct failure *failure);

extern const char options_usage[];

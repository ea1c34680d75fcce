/* The state file: who runs here, told so that nobody has to trust a bare pid. */
#pragma once

#include "fail.h"

/* A process as the machine sees it. The start time (clock ticks since boot, as in /proc/PID/stat) tells it
   from a later process with the same pid. */
struct identity
{
  int pid;
  unsigned long long start_time;
};

/* Who the caller is in the process table that proc_fd shows (a descriptor of /proc of any PID namespace
   above). Returns 0, or -1 with errno. Async-signal-safe enough for a forked child of a program with one
   thread. */
int identity_read (int proc_fd, struct identity *identity);

struct state
{
  /* Descriptor of the folder, so that later mounts cannot hide it, and the name in there. */
  int folder;
  const char *name;
  struct identity self;
  /* pid 0 while the command does not run. */
  struct identity command;
  /* How often the command was started. */
  int starts;
};

/* Replaces the file in one step. */
int state_write (const struct state *state, struct failure *failure);

void state_remove (const struct state *state);

/* Keeps one command running. */
#pragma once

#include "cgroup.h"
#include "options.h"
#include "state.h"

struct supervisor
{
  const struct options *options;
  const struct hierarchies *hierarchies;
  /* Descriptor of the machine's /proc: pids in the state file are the machine's. */
  int proc;
  /* Folder of the log file, and its name there. */
  int log_folder;
  const char *log_name;
  struct state state;
};

/* Opens the log file as the caller's stdout and stderr, /dev/null as its stdin. A log that has grown large is
   moved to NAME.1 first. */
int supervise_open_log (const struct supervisor *supervisor, struct failure *failure);

/* Blocks the signals that supervise reads itself. Call before the first child exists. */
void supervise_block_signals (void);

/* Starts the command, starts it again whenever it ends, reaps what is left to it; returns the exit code of
   the whole after TERM or INT, when no child is left. */
int supervise (struct supervisor *supervisor);

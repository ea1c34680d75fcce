/* First processes that reap: what this program is when it executes itself inside a pod.

   Out of a container nobody sees more of the node through them than through any other process of the pod: they are
   executed anew, so they have nothing of the shim's memory, and no descriptor but 0, 1 and 2. */
#ifndef TS_INIT_H
#define TS_INIT_H

#include "container/failure.h"
#include "container/spec.h"

/* argv[0] says which. */
#define TS_INIT_NAME "tessera-init"
#define TS_PAUSE_NAME "pause"

/* Executes TS_PROGRAM_FD as TS_INIT_NAME. Returns only when it failed. */
int ts_exec_init (const struct ts_process *process, struct ts_failure *failure);

/* The first process of a container that wants an init: runs the command as its child, hands signals on to it, reaps
   whatever is left to it, and ends as the command does, with 128 + signal when a signal ended that. */
_Noreturn void ts_run_init (char *const *argv);

/* Executes TS_PROGRAM_FD as TS_PAUSE_NAME. Returns only when it failed. */
int ts_exec_pause (struct ts_failure *failure);

/* The first process of a pid namespace that containers share: does nothing, while the kernel reaps what is left to
   it. */
_Noreturn void ts_run_pause (void);

#endif

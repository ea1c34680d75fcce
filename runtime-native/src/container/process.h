/* From a process inside the container's namespaces to the command that was asked for. */
#ifndef TS_CONTAINER_PROCESS_H
#define TS_CONTAINER_PROCESS_H

#include "container/failure.h"
#include "container/spec.h"

/* Makes stdio[0..2] the process's 0, 1 and 2, the channel TS_CHANNEL_FD, `kept` TS_KEPT_FD and `tools` TS_TOOLS_FD,
   unless they are -1; closes all others. `tools` needs `kept`. */
int ts_arrange_descriptors (int channel, const int stdio[3], int kept, int tools, struct ts_failure *failure);

/* A terminal of the devpts whose "ptmx" is open as `multiplexer`: becomes 0, 1 and 2 and the controlling terminal.
   Its other side goes over the channel. */
int ts_open_terminal (int multiplexer, const struct ts_process *process, struct ts_failure *failure);

/* Enters the working directory, which must exist, and checks that it is inside the root. */
int ts_enter_cwd (const char *cwd, struct ts_failure *failure);

int ts_set_rlimits (const struct ts_security *security, struct ts_failure *failure);

/* Groups, ids, capabilities, no_new_privs, seccomp and the parent-death signal. */
int ts_drop_privileges (const struct ts_process *process, const struct ts_security *security,
                        struct ts_failure *failure);

/* What both kinds of child do last; `tools`, unless -1, is executed when the command is not found. Returns only when it
   failed. */
int ts_become_command (const struct ts_process *process, const struct ts_security *security, int tools,
                       struct ts_failure *failure);

/* Tells the shim and ends. */
_Noreturn void ts_give_up (const struct ts_failure *failure);

#endif

/* From a process inside the container's namespaces to the command that was asked for. */
#ifndef TS_CONTAINER_PROCESS_H
#define TS_CONTAINER_PROCESS_H

#include "container/failure.h"
#include "container/spec.h"

/* Where a child finds the channel to the shim and what else is kept for it. All of them are closed by execve. */
enum
{
  TS_CHANNEL_FD = 3,
  TS_KEPT_FD = 4,
  TS_NAMESPACE_FD = TS_KEPT_FD,   /* pidfd of a process whose namespaces are entered */
  TS_PROGRAM_FD = TS_KEPT_FD + 1, /* an init's: this very program, sealed; or the tools that images may lack */
  TS_KEPT_COUNT = 2,
};

/* What the shim ignores, and no container inherits. Ends with 0. */
extern const int ts_ignored_signals[];

/* Makes stdio[0..2] the process's 0, 1 and 2, the channel TS_CHANNEL_FD and kept[i], unless -1, TS_KEPT_FD + i; closes
   all others. */
int ts_arrange_descriptors (int channel, const int stdio[3], const int kept[TS_KEPT_COUNT], struct ts_failure *failure);

/* Closes again what was opened since. Returns 0 or -errno. */
int ts_close_descriptors (const int kept[TS_KEPT_COUNT]);

/* Makes the process the leader of a session of its own, and its terminal, if it has one, the session's. */
int ts_begin_session (const struct ts_process *process, struct ts_failure *failure);

/* A terminal of the devpts whose "ptmx" is open as `multiplexer`: becomes 0, 1 and 2. Its other side goes over the
   channel. */
int ts_open_terminal (int multiplexer, const struct ts_process *process, struct ts_failure *failure);

/* Enters the working directory, which must exist, and checks that it is inside the root. */
int ts_enter_cwd (const char *cwd, struct ts_failure *failure);

int ts_set_rlimits (const struct ts_security *security, struct ts_failure *failure);

/* Groups, ids, capabilities, no_new_privs, seccomp and the parent-death signal. */
int ts_drop_privileges (const struct ts_process *process, const struct ts_security *security,
                        struct ts_failure *failure);

/* What both kinds of child do last. With process->init the command is run by ts_run_init; `tools`, unless -1, is
   executed when the command is not found. Returns only when it failed. */
int ts_become_command (const struct ts_process *process, const struct ts_security *security, int tools,
                       struct ts_failure *failure);

/* Looks the command up as execvp does and executes it, or `tools`. Returns only when it failed. */
int ts_exec_command (char *const *argv, char *const *env, int tools, struct ts_failure *failure);

/* Tells the shim and ends. */
_Noreturn void ts_give_up (const struct ts_failure *failure);

#endif

/* A pod's shim: the parent of its containers. One thread, one loop; every handler returns without waiting.

     listener -> connection -> dispatch -> container / exec
     channel of a child that is being started -> launch
     SIGCHLD -> reap -> container exited / exec exited
     pipes and terminals -> log, attached connections, exec's connection
*/
#ifndef TS_SHIM_H
#define TS_SHIM_H

#include <stdbool.h>
#include <sys/types.h>

#include "container/failure.h"
#include "container/spec.h"
#include "shim/log.h"
#include "shim/loop.h"
#include "shim/request.h"
#include "shim/wire.h"

struct ts_connection;
struct ts_container;
struct ts_exec;
struct ts_forward;

struct ts_shim
{
  int epoll;
  const char *id;
  const char *run_dir;
  int run_dirfd;
  const char *shm; /* folder that becomes the containers' /dev/shm */
  const char *copy_tools;
  int program; /* the shim's own, sealed */
  /* First process of the pid namespace that the containers share; pid 0 when each has its own. */
  struct
  {
    pid_t pid;
    int pidfd;
    const char *proc; /* folder where the namespace's /proc is mounted */
  } pod_init;
  struct ts_source listener;
  struct ts_source signals;
  /* Ticks while a container waits for somebody who is attached. */
  struct ts_source stall_timer;
  struct ts_connection *connections;
  struct ts_container *containers;
  struct ts_exec *execs;
  /* Set by SHUTDOWN: nothing new starts, and when the last container has ended so does the shim. */
  bool stopping;
};

/* Milliseconds since the epoch. */
uint64_t ts_now (void);

/* ---- sandbox.c: what the pod's containers inherit ---- */

struct ts_sandbox_options
{
  const char *id;
  const char *run_dir;
  const char *hostname;
  char *const *sysctls; /* "name=value", ends with NULL */
  bool host_ipc;
  bool host_network;
  const char *copy_tools; /* static program with "tar" and "test", for images that lack them; NULL for none */
  bool share_pids;
};

int ts_enter_sandbox (const struct ts_sandbox_options *options, struct ts_shim *shim, struct ts_failure *failure);
void ts_leave_sandbox (struct ts_shim *shim);

/* ---- pod-init.c ---- */

/* Makes the pid namespace that the pod's containers share, and its first process. */
int ts_start_pod_init (const struct ts_sandbox_options *options, struct ts_shim *shim, struct ts_failure *failure);
/* True when it was the first process that was reaped. With it all containers have ended: unless the sandbox is being
   removed, so does the shim, and whoever is connected takes the sandbox for lost. */
bool ts_pod_init_ended (struct ts_shim *shim, pid_t pid);

/* ---- connection.c ---- */

struct ts_connection
{
  struct ts_connection *next;
  struct ts_shim *shim;
  struct ts_source source;
  uint8_t header[12];
  size_t header_size;
  struct ts_header frame;
  uint8_t *payload;
  size_t payload_size;
  struct ts_buffer out;
  size_t sent;
  /* Told of exits. */
  bool subscribed;
  /* SHUTDOWN is answered when all have ended. */
  bool awaits_shutdown;
  uint32_t shutdown_request;
  /* What its data frames are for. */
  struct ts_exec *exec;
  struct ts_container *attached;
  struct ts_forward *forward;
  /* With the connection the attached container's stdin ends as well. */
  bool ends_stdin;
  /* Of all that was sent; who is attached and makes no progress is let go. */
  uint64_t progress;
  uint64_t last_progress;
  unsigned int idle_ticks;
  /* Not read while what it sent cannot be handed on. */
  bool paused;
  /* Closed once everything is sent. */
  bool closing;
};

int ts_listen (struct ts_shim *shim, struct ts_failure *failure);
/* Takes requests from fd, which it owns from then on; closes it when there is no memory. */
void ts_begin_connection (struct ts_shim *shim, int fd, bool subscribed);
/* Appends the frame (buffer is emptied) and sends as much as goes. */
void ts_send (struct ts_connection *connection, struct ts_buffer *frame);
void ts_send_data (struct ts_connection *connection, uint16_t type, const uint8_t *bytes, size_t size);
void ts_send_ok (struct ts_connection *connection, uint32_t request);
void ts_send_failure (struct ts_connection *connection, uint32_t request, const struct ts_failure *failure);
/* Bytes that wait to be sent. */
size_t ts_backlog (const struct ts_connection *connection);
void ts_pause_connection (struct ts_connection *connection, bool paused);
/* Closes at once; what waits to be sent is dropped. */
void ts_break_connection (struct ts_connection *connection);
/* Closes after all is sent. */
void ts_finish_connection (struct ts_connection *connection);
/* Sends what is left as long as the other side reads, for the last words before the end. */
void ts_flush_all (struct ts_shim *shim);

/* ---- dispatch.c ---- */

/* Handles a complete frame; may take the payload over by setting connection->payload to NULL. */
void ts_dispatch (struct ts_connection *connection);
/* Ends the shim when it is to end and nothing runs any more. */
void ts_settle (struct ts_shim *shim);
void ts_announce_exit (struct ts_shim *shim, struct ts_container *container);

/* ---- launch.c: a child on its way to execve ---- */

struct ts_launch
{
  struct ts_shim *shim;
  struct ts_source channel;
  pid_t pid; /* of the process that calls execve: 0 until it is ready for it, or until another has told of it */
  bool ready;
  bool failed;
  struct ts_failure failure;
  int terminal; /* controlling side, -1 for none */
  void (*done) (struct ts_launch *launch);
};

/* Returns the child's end of the channel, or -errno. */
int ts_begin_launch (struct ts_shim *shim, struct ts_launch *launch, void (*done) (struct ts_launch *));
/* Takes all reports in; calls `done` once, when the channel is closed by execve or by the child's end. */
void ts_advance_launch (struct ts_launch *launch);
/* Calls `done` although the channel is open: the process is known to have ended. */
void ts_complete_launch (struct ts_launch *launch);
bool ts_is_launching (const struct ts_launch *launch);
void ts_end_launch (struct ts_launch *launch);

/* ---- input.c: bytes on their way to a process ---- */

struct ts_input
{
  struct ts_shim *shim;
  struct ts_source source;
  uint8_t *bytes; /* what the process did not take yet */
  size_t size;
  size_t taken;
  bool ends;       /* closed after that */
  bool shuts_down; /* it is a socket that others hold as well: its end is told by shutdown */
  struct ts_connection *from;
};

void ts_begin_input (struct ts_shim *shim, struct ts_input *input, int fd);
/* Takes the connection's payload over; pauses the connection until all is written. */
void ts_write_input (struct ts_input *input, struct ts_connection *from);
void ts_end_input (struct ts_input *input, struct ts_connection *from);
void ts_close_input (struct ts_input *input);

/* ---- stdio.c ---- */

/* Each a pipe, read end first; -1 where there is none. With a terminal, or without stdin, in[0] is /dev/null. */
struct ts_stdio
{
  int in[2];
  int out[2];
  int err[2];
};

int ts_open_stdio (struct ts_stdio *stdio, const struct ts_process *process, bool stdin_open);
/* What becomes the process's 0, 1 and 2. */
void ts_child_stdio (const struct ts_stdio *stdio, int fds[3]);
/* Closes what was not taken (set to -1). */
void ts_close_stdio (struct ts_stdio *stdio);

enum
{
  /* As much as a pipe holds: of one whose writer has ended, no more is read. */
  TS_MAX_PIPE = 1024 * 1024,
};

/* ---- container*.c ---- */

enum ts_phase
{
  TS_STARTING,
  TS_RUNNING,
  TS_EXITED,
};

/* One of a container's outputs. */
struct ts_stream
{
  struct ts_container *container;
  struct ts_source source;
  bool is_stderr;
  struct ts_partial partial;
};

struct ts_container
{
  struct ts_container *next;
  struct ts_shim *shim;
  char *id;
  enum ts_phase phase;
  struct ts_launch launch;
  pid_t pid;
  int pidfd;
  struct ts_connection *requester; /* NULL when it went away */
  uint32_t request;
  /* For execs. */
  struct ts_security security;
  char **cgroup_dirs;
  uint32_t oom_score_adj;
  bool shares_pids; /* others live on in its pid namespace */
  struct ts_log log;
  struct ts_stream out;
  struct ts_stream err;
  struct ts_input input;
  /* All that it has said, as frames, as long as nobody was attached; only of one whose stdin is open. */
  struct ts_buffer early;
  bool keeps_early;
  int terminal;
  uint64_t started_at;
  uint64_t finished_at;
  uint32_t exit_code;
  uint32_t signal;
  bool oom_killed;
};

struct ts_container *ts_find_container (struct ts_shim *shim, const char *id);
/* Answers the request when the container runs or could not be started. */
void ts_start_container (struct ts_connection *connection, struct ts_container_spec *spec);
void ts_refuse_start (struct ts_container *container, const struct ts_failure *failure);
int ts_begin_stream (struct ts_container *container, struct ts_stream *stream, int fd, bool is_stderr);
void ts_finish_stream (struct ts_stream *stream);
void ts_forget_early (struct ts_container *container);
/* Who is attached has taken something, or has gone: the container waits no longer if nobody else holds it up. */
void ts_resume_streams (struct ts_container *container);
void ts_end_container (struct ts_container *container);
void ts_free_strings (char **strings);
/* Takes the process that the launch has told of for the container's. */
void ts_follow_process (struct ts_container *container);
/* A process of the container was reaped: its first, or the one that set it up. */
void ts_container_ended (struct ts_container *container, pid_t pid, int status);
void ts_kill_container (struct ts_container *container, int signal_number);
void ts_forget_container (struct ts_container *container);
void ts_put_container_state (struct ts_buffer *buffer, const struct ts_container *container);
/* Kills a process that runs and was not reaped yet, and its process group. */
void ts_kill_exec (const struct ts_exec *exec);
/* Both drop what refers to a connection that is being closed. */
void ts_leave_containers (struct ts_connection *connection);
void ts_leave_exec (struct ts_connection *connection);

/* ---- container-cgroup.c ---- */

bool ts_was_oom_killed (char *const *cgroup_dirs);
void ts_kill_cgroup (char *const *cgroup_dirs);

/* ---- exit-record.c ---- */

int ts_write_exit_record (const struct ts_container *container);
void ts_remove_exit_record (const struct ts_shim *shim, const char *id);

/* ---- exec.c ---- */

struct ts_exec
{
  struct ts_exec *next;
  struct ts_shim *shim;
  struct ts_connection *connection; /* NULL when it went away: the process is killed */
  uint32_t request;
  struct ts_launch launch;
  pid_t pid;
  struct ts_source out;
  struct ts_source err;
  struct ts_input input;
  int terminal;
  bool ended;
  size_t read_after_end;
  uint32_t exit_code;
};

void ts_start_exec (struct ts_connection *connection, struct ts_exec_request *request);
void ts_exec_ended (struct ts_exec *exec, int status);
/* The connection has room again. */
void ts_resume_exec (struct ts_exec *exec);

/* ---- forward.c ---- */

void ts_start_forward (struct ts_connection *connection, uint16_t port);
/* NULL until it is connected. */
struct ts_input *ts_forward_input (struct ts_forward *forward);
/* The connection has room again. */
void ts_resume_forward (struct ts_forward *forward);
/* To be called after its input was used: frees it when both directions have ended. */
void ts_settle_forward (struct ts_forward *forward);
void ts_leave_forward (struct ts_connection *connection);

/* ---- reap.c ---- */

int ts_watch_children (struct ts_shim *shim, struct ts_failure *failure);

/* 128 + signal, as a shell says it. */
uint32_t ts_exit_code (int status);

#endif

/* The life of a container: starting -> running -> exited, until it is forgotten. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "container/setup.h"
#include "container/syscalls.h"
#include "lib/cleanup.h"
#include "shim/protocol.h"
#include "shim/shim.h"

enum
{
  /* An attached client that reads slower than the container writes is let go: the container never waits for it. */
  MAX_ATTACH_BACKLOG = 1024 * 1024,
  /* As Kubernetes reports a container that could not be started. */
  TS_EXIT_NOT_STARTED = 128,
};

uint64_t
ts_now (void)
{
  struct timespec now;

  clock_gettime (CLOCK_REALTIME, &now);
  return (uint64_t) now.tv_sec * 1000 + (uint64_t) now.tv_nsec / 1000000;
}

struct ts_container *
ts_find_container (struct ts_shim *shim, const char *id)
{
  for (struct ts_container *container = shim->containers; container; container = container->next)
    if (strcmp (container->id, id) == 0)
      return container;
  return NULL;
}

void
ts_put_container_state (struct ts_buffer *buffer, const struct ts_container *container)
{
  size_t begin = ts_begin_field (buffer, TS_TAG_CONTAINER_STATE);

  ts_put_string (buffer, TS_TAG_CONTAINER, container->id);
  ts_put_u64 (buffer, TS_TAG_STARTED_AT, container->started_at);
  if (container->phase == TS_EXITED)
    {
      ts_put_u64 (buffer, TS_TAG_FINISHED_AT, container->finished_at);
      ts_put_u32 (buffer, TS_TAG_EXIT_CODE, container->exit_code);
      ts_put_u32 (buffer, TS_TAG_SIGNAL, container->signal);
      ts_put_u32 (buffer, TS_TAG_OOM_KILLED, container->oom_killed);
    }
  else
    ts_put_u32 (buffer, TS_TAG_PID, (uint32_t) container->pid);
  ts_end_field (buffer, begin);
}

/* ---- output ---- */

static void
share_output (struct ts_stream *stream, const uint8_t *bytes, size_t size)
{
  struct ts_container *container = stream->container;

  for (struct ts_connection *connection = container->shim->connections; connection; connection = connection->next)
    if (connection->attached == container)
      {
        if (ts_backlog (connection) > MAX_ATTACH_BACKLOG)
          ts_finish_connection (connection);
        else
          ts_send_data (connection, stream->is_stderr ? TS_FRAME_STDERR : TS_FRAME_STDOUT, bytes, size);
      }
}

/* Reads once; false when there is nothing more now, or ever (then it is closed). */
static bool
read_stream (struct ts_stream *stream)
{
  static uint8_t bytes[TS_LOG_LINE];
  struct ts_container *container = stream->container;
  ssize_t size;

  if (stream->source.fd < 0)
    return false;
  do
    size = read (stream->source.fd, bytes, sizeof bytes);
  while (size < 0 && errno == EINTR);
  if (size < 0 && errno == EAGAIN)
    return false;
  if (size <= 0)
    {
      ts_log_rest (&container->log, stream->is_stderr, &stream->partial);
      ts_close_source (container->shim->epoll, &stream->source);
      return false;
    }
  ts_log_bytes (&container->log, stream->is_stderr, &stream->partial, (char *) bytes, (size_t) size);
  share_output (stream, bytes, (size_t) size);
  return true;
}

static void
stream_ready (struct ts_source *source, uint32_t events)
{
  (void) events;
  read_stream (ts_owner (source, struct ts_stream, source));
}

static int
begin_stream (struct ts_container *container, struct ts_stream *stream, int fd, bool is_stderr)
{
  *stream = (struct ts_stream){
    .container = container,
    .source = { .fd = fd, .ready = stream_ready },
    .is_stderr = is_stderr,
  };
  if (fcntl (fd, F_SETFL, fcntl (fd, F_GETFL) | O_NONBLOCK) < 0)
    return -errno;
  return ts_watch (container->shim->epoll, &stream->source, EPOLLIN);
}

/* What was written before the end is in the pipe: taken in whole, however many other holders it has. */
static void
finish_stream (struct ts_stream *stream)
{
  while (read_stream (stream))
    continue;
  if (stream->source.fd >= 0)
    ts_log_rest (&stream->container->log, stream->is_stderr, &stream->partial);
  ts_close_source (stream->container->shim->epoll, &stream->source);
}

/* ---- start ---- */

static void
free_strings (char **strings)
{
  for (char **string = strings; string && *string; string++)
    free (*string);
  free (strings);
}

static char **
copy_strings (char *const *strings)
{
  size_t count = 0;
  char **copies;

  while (strings[count])
    count++;
  copies = calloc (count + 1, sizeof *copies);
  for (size_t i = 0; copies && i < count; i++)
    if (!(copies[i] = strdup (strings[i])))
      {
        free_strings (copies);
        return NULL;
      }
  return copies;
}

static void
unlink_container (struct ts_container *container)
{
  struct ts_container **link = &container->shim->containers;

  while (*link && *link != container)
    link = &(*link)->next;
  if (*link)
    *link = container->next;
}

/* Ends everything a running container needs. */
static void
release_container (struct ts_container *container)
{
  ts_end_launch (&container->launch);
  ts_close_source (container->shim->epoll, &container->out.source);
  ts_close_source (container->shim->epoll, &container->err.source);
  ts_close_input (&container->input);
  ts_close_log (&container->log);
  cleanup_closep (&container->terminal);
  container->terminal = -1;
  cleanup_closep (&container->pidfd);
  container->pidfd = -1;
  free_strings (container->cgroup_dirs);
  container->cgroup_dirs = NULL;
  free ((void *) (uintptr_t) container->security.seccomp);
  container->security.seccomp = NULL;
}

void
ts_forget_container (struct ts_container *container)
{
  unlink_container (container);
  release_container (container);
  free (container->id);
  free (container);
}

static struct ts_container *
new_container (struct ts_connection *connection, const struct ts_container_spec *spec)
{
  struct ts_container *container = calloc (1, sizeof *container);
  void *seccomp;

  if (!container)
    return NULL;
  container->shim = connection->shim;
  container->launch.shim = connection->shim;
  container->launch.channel.fd = -1;
  container->input = (struct ts_input){ .shim = connection->shim, .source.fd = -1 };
  container->out = (struct ts_stream){ .container = container, .source.fd = -1 };
  container->err = (struct ts_stream){ .container = container, .source.fd = -1 };
  container->log.fd = -1;
  container->terminal = -1;
  container->pidfd = -1;
  container->requester = connection;
  container->request = connection->frame.request;
  container->host_pid = spec->host_pid;
  container->oom_score_adj = spec->oom_score_adj;
  container->security = spec->security;
  container->security.seccomp = NULL;
  container->id = strdup (spec->id);
  container->cgroup_dirs = copy_strings (spec->cgroup_dirs);
  seccomp = spec->security.seccomp ? malloc (spec->security.seccomp_size) : NULL;
  if (seccomp)
    container->security.seccomp = memcpy (seccomp, spec->security.seccomp, spec->security.seccomp_size);
  if (!container->id || !container->cgroup_dirs || (spec->security.seccomp && !seccomp))
    {
      ts_forget_container (container);
      return NULL;
    }
  return container;
}

/* [0] is ours, [1] the container's. */
struct stdio
{
  int in[2];
  int out[2];
  int err[2];
};

static void
close_stdio (struct stdio *stdio)
{
  int *fds[] = { stdio->in, stdio->out, stdio->err };

  for (size_t i = 0; i < 3; i++)
    {
      cleanup_closep (&fds[i][0]);
      cleanup_closep (&fds[i][1]);
    }
}

/* The container's user may open its pipes again through /dev/stdout. */
static int
open_pipe (int ends[2], const struct ts_process *process)
{
  if (pipe2 (ends, O_CLOEXEC) < 0)
    return -errno;
  return fchown (ends[0], process->uid, process->gid) < 0 ? -errno : 0;
}

static int
open_stdio (struct stdio *stdio, const struct ts_container_spec *spec)
{
  int in[2];
  int err;

  stdio->in[1] = open ("/dev/null", O_RDWR | O_CLOEXEC);
  if (stdio->in[1] < 0)
    return -errno;
  if (spec->process.terminal)
    return 0;
  err = open_pipe (stdio->out, &spec->process);
  if (err == 0)
    err = open_pipe (stdio->err, &spec->process);
  if (err < 0 || !spec->stdin_open)
    return err;
  close (stdio->in[1]);
  stdio->in[1] = -1;
  err = open_pipe (in, &spec->process);
  stdio->in[0] = in[1];
  stdio->in[1] = in[0];
  return err;
}

static void container_launched (struct ts_launch *launch);

static int
clone_child (struct ts_container *container, const struct ts_container_spec *spec, const struct stdio *stdio,
             struct ts_failure *failure)
{
  uint64_t namespaces = CLONE_NEWNS | (spec->host_pid ? 0 : CLONE_NEWPID);
  int outputs[3] = { stdio->in[1], stdio->out[1] >= 0 ? stdio->out[1] : stdio->in[1],
                     stdio->err[1] >= 0 ? stdio->err[1] : stdio->in[1] };
  cleanup_close int channel = ts_begin_launch (container->shim, &container->launch, container_launched);

  if (channel < 0)
    return ts_fail_step (failure, -channel, "make channel");
  container->pid = sys_clone (namespaces | CLONE_PIDFD | SIGCHLD, &container->pidfd);
  if (container->pid == 0)
    ts_start_child (spec, channel, outputs);
  if (container->pid < 0)
    {
      container->pidfd = -1;
      return ts_fail_step (failure, errno, "clone");
    }
  return 0;
}

static int
begin_outputs (struct ts_container *container, struct stdio *stdio)
{
  int err = 0;

  ts_begin_input (container->shim, &container->input, steal_fd (&stdio->in[0]));
  if (stdio->out[0] >= 0)
    err = begin_stream (container, &container->out, steal_fd (&stdio->out[0]), false);
  if (err == 0 && stdio->err[0] >= 0)
    err = begin_stream (container, &container->err, steal_fd (&stdio->err[0]), true);
  return err;
}

static int
launch_container (struct ts_container *container, const struct ts_container_spec *spec, struct ts_failure *failure)
{
  struct stdio stdio = { { -1, -1 }, { -1, -1 }, { -1, -1 } };
  int err = ts_open_log (&container->log, spec->log_path, spec->log_max_bytes, spec->log_max_files);

  if (err < 0)
    return ts_fail (failure, -err, "open log", "%s", spec->log_path);
  err = open_stdio (&stdio, spec);
  if (err < 0)
    ts_fail_step (failure, -err, "open stdio");
  if (err == 0)
    err = clone_child (container, spec, &stdio, failure);
  if (err == 0 && begin_outputs (container, &stdio) < 0)
    kill (container->pid, SIGKILL);
  close_stdio (&stdio);
  return err;
}

/* Somebody else than who asked has been told that it runs. */
static bool
is_known_to_others (const struct ts_container *container)
{
  if (!container->requester)
    return true;
  for (const struct ts_connection *connection = container->shim->connections; connection; connection = connection->next)
    if (connection->subscribed && connection != container->requester)
      return true;
  return false;
}

static void
end_container (struct ts_container *container)
{
  container->finished_at = ts_now ();
  container->phase = TS_EXITED;
  ts_write_exit_record (container);
  ts_announce_exit (container->shim, container);
  release_container (container);
}

/* An agent that came after who asked takes it for running: to that one it ends at once. */
static void
refuse_start (struct ts_container *container, const struct ts_failure *failure)
{
  struct ts_shim *shim = container->shim;
  bool known = is_known_to_others (container);

  if (container->requester)
    ts_send_failure (container->requester, container->request, failure);
  if (known)
    {
      container->exit_code = TS_EXIT_NOT_STARTED;
      end_container (container);
      container->requester = NULL;
    }
  else
    ts_forget_container (container);
  ts_settle (shim);
}

void
ts_start_container (struct ts_connection *connection, struct ts_container_spec *spec)
{
  struct ts_failure failure = { 0 };
  struct ts_container *container;

  if (ts_find_container (connection->shim, spec->id))
    {
      ts_refuse (&failure, TS_ALREADY_EXISTS, EEXIST, "start container", "%s", spec->id);
      ts_send_failure (connection, connection->frame.request, &failure);
      return;
    }
  container = new_container (connection, spec);
  if (!container)
    {
      ts_fail (&failure, ENOMEM, "start container", "%s", spec->id);
      ts_send_failure (connection, connection->frame.request, &failure);
      return;
    }
  spec->shm = connection->shim->shm;
  if (launch_container (container, spec, &failure) < 0)
    {
      ts_send_failure (connection, connection->frame.request, &failure);
      ts_forget_container (container);
      return;
    }
  container->started_at = ts_now ();
  container->next = connection->shim->containers;
  connection->shim->containers = container;
}

/* The terminal's controlling side: read as the output, written as the input. */
static void
take_terminal (struct ts_container *container, int terminal)
{
  int input = fcntl (terminal, F_DUPFD_CLOEXEC, 0);

  container->terminal = fcntl (terminal, F_DUPFD_CLOEXEC, 0);
  ts_begin_input (container->shim, &container->input, input);
  begin_stream (container, &container->out, terminal, false);
}

/* The child has called execve, or failed before: a failed one is answered and forgotten when it is reaped. */
static void
container_launched (struct ts_launch *launch)
{
  struct ts_container *container = ts_owner (launch, struct ts_container, launch);
  struct ts_buffer frame = { 0 };
  size_t begin;

  if (launch->terminal >= 0)
    take_terminal (container, launch->terminal);
  launch->terminal = -1;
  if (launch->failed)
    return;
  container->phase = TS_RUNNING;
  container->started_at = ts_now ();
  if (container->requester)
    {
      begin = ts_begin_frame (&frame, TS_FRAME_STARTED, container->request);
      ts_put_u32 (&frame, TS_TAG_PID, (uint32_t) container->pid);
      ts_put_u64 (&frame, TS_TAG_STARTED_AT, container->started_at);
      ts_end_frame (&frame, begin);
      ts_send (container->requester, &frame);
      container->requester = NULL;
    }
  ts_settle (container->shim);
}

/* ---- end ---- */

void
ts_kill_container (struct ts_container *container, int signal_number)
{
  /* Not reaped yet, so the pid is still its. */
  if (container->phase != TS_EXITED)
    kill (container->pid, signal_number);
}

void
ts_container_ended (struct ts_container *container, int status)
{
  if (ts_is_launching (&container->launch))
    ts_advance_launch (&container->launch);
  if (container->phase == TS_STARTING)
    {
      struct ts_failure failure = container->launch.failure;

      if (!failure.error)
        ts_fail (&failure, ECHILD, "set up process", "it was killed before it could start");
      refuse_start (container, &failure);
      return;
    }
  /* In a pid namespace of its own nobody outlives the first process. */
  if (container->host_pid)
    ts_kill_cgroup (container->cgroup_dirs);
  finish_stream (&container->out);
  finish_stream (&container->err);
  container->signal = (uint32_t) (status & 0x7f);
  container->exit_code = ts_exit_code (status);
  container->oom_killed = ts_was_oom_killed (container->cgroup_dirs);
  end_container (container);
  ts_settle (container->shim);
}

void
ts_leave_containers (struct ts_connection *connection)
{
  for (struct ts_container *container = connection->shim->containers; container; container = container->next)
    {
      if (container->requester == connection)
        container->requester = NULL;
      if (container->input.from == connection)
        container->input.from = NULL;
    }
}

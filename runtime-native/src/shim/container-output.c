/* What a container writes: into its log, and to those who are attached. While one of these has much to read the
   container waits, as for a pipe; but one who reads nothing at all for a while is let go. */
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "shim/protocol.h"
#include "shim/shim.h"

enum
{
  MAX_ATTACH_BACKLOG = 256 * 1024,
  MAX_IDLE_TICKS = 3, /* of a second */
  MAX_EARLY = 256 * 1024,
};

static bool
is_held_up (const struct ts_container *container)
{
  for (const struct ts_connection *connection = container->shim->connections; connection; connection = connection->next)
    if (connection->attached == container && ts_backlog (connection) > MAX_ATTACH_BACKLOG)
      return true;
  return false;
}

void
ts_resume_streams (struct ts_container *container)
{
  uint32_t events = is_held_up (container) ? 0 : EPOLLIN;

  ts_watch (container->shim->epoll, &container->out.source, events);
  ts_watch (container->shim->epoll, &container->err.source, events);
}

/* False when it is held up: who holds it up is let go unless it makes progress. */
static bool
may_go_on (struct ts_connection *connection)
{
  if (ts_backlog (connection) <= MAX_ATTACH_BACKLOG)
    return true;
  connection->idle_ticks = connection->progress == connection->last_progress ? connection->idle_ticks + 1 : 0;
  connection->last_progress = connection->progress;
  if (connection->idle_ticks >= MAX_IDLE_TICKS)
    ts_break_connection (connection);
  return false;
}

static void
stall_timer_ready (struct ts_source *source, uint32_t events)
{
  struct ts_shim *shim = ts_owner (source, struct ts_shim, stall_timer);
  bool is_needed = false;
  uint64_t ticks;

  (void) events;
  if (read (source->fd, &ticks, sizeof ticks) < 0)
    return;
  for (struct ts_connection *connection = shim->connections; connection; connection = connection->next)
    if (connection->attached && !may_go_on (connection))
      is_needed = true;
  if (!is_needed)
    ts_close_source (shim->epoll, source);
}

/* The container waits. Without a timer nobody could be let go, so then it does not wait. */
static bool
hold_up (struct ts_container *container)
{
  static const struct itimerspec every_second = { { 1, 0 }, { 1, 0 } };
  struct ts_shim *shim = container->shim;

  if (shim->stall_timer.fd < 0)
    {
      int fd = timerfd_create (CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);

      shim->stall_timer = (struct ts_source){ .fd = fd, .ready = stall_timer_ready };
      if (fd < 0 || timerfd_settime (fd, 0, &every_second, NULL) < 0
          || ts_watch (shim->epoll, &shim->stall_timer, EPOLLIN) < 0)
        {
          ts_close_source (shim->epoll, &shim->stall_timer);
          return false;
        }
    }
  ts_resume_streams (container);
  return true;
}

void
ts_forget_early (struct ts_container *container)
{
  container->keeps_early = false;
  ts_free_buffer (&container->early);
}

/* Whoever attaches first gets all of it or, when it is more than is kept, nothing of it: what has holes misleads. */
static void
keep_early (struct ts_container *container, uint16_t type, const uint8_t *bytes, size_t size)
{
  size_t begin = ts_begin_frame (&container->early, type, 0);

  ts_append (&container->early, bytes, size);
  ts_end_frame (&container->early, begin);
  if (container->early.failed || container->early.size > MAX_EARLY)
    ts_forget_early (container);
}

static void
share_output (struct ts_stream *stream, const uint8_t *bytes, size_t size)
{
  struct ts_container *container = stream->container;
  uint16_t type = stream->is_stderr ? TS_FRAME_STDERR : TS_FRAME_STDOUT;

  if (container->keeps_early)
    keep_early (container, type, bytes, size);
  for (struct ts_connection *connection = container->shim->connections; connection; connection = connection->next)
    if (connection->attached == container)
      ts_send_data (connection, type, bytes, size);
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
  struct ts_stream *stream = ts_owner (source, struct ts_stream, source);

  (void) events;
  if (!is_held_up (stream->container) || !hold_up (stream->container))
    read_stream (stream);
}

int
ts_begin_stream (struct ts_container *container, struct ts_stream *stream, int fd, bool is_stderr)
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

/* What was written before the end is in the pipe. Others may hold it too and write on and on: they are not waited for.
 */
void
ts_finish_stream (struct ts_stream *stream)
{
  for (size_t read = 0; read < TS_MAX_PIPE && read_stream (stream); read += TS_LOG_LINE)
    continue;
  if (stream->source.fd >= 0)
    ts_log_rest (&stream->container->log, stream->is_stderr, &stream->partial);
  ts_close_source (stream->container->shim->epoll, &stream->source);
}

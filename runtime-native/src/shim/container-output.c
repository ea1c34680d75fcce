/* What a container writes: into its log, and to those who are attached. */
#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "shim/protocol.h"
#include "shim/shim.h"

enum
{
  /* An attached client that reads slower than the container writes is let go: the container never waits for it. */
  MAX_ATTACH_BACKLOG = 1024 * 1024,
};

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

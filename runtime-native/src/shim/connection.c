#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "shim/protocol.h"
#include "shim/shim.h"

enum
{
  /* An agent that reads so little is not there any more. */
  MAX_BACKLOG = 2 * TS_MAX_PAYLOAD,
  MAX_CONNECTIONS = 512,
  /* What was sent is dropped from the front of the buffer when it is so much and more than what is left. */
  MIN_COMPACTION = 64 * 1024,
};

size_t
ts_backlog (const struct ts_connection *connection)
{
  return connection->out.size - connection->sent;
}

static void
watch (struct ts_connection *connection)
{
  /* EPOLLPRI never comes: it stands for hang-ups alone, which are always reported. */
  uint32_t events
      = EPOLLPRI | (connection->paused || connection->closing ? 0 : EPOLLIN) | (ts_backlog (connection) ? EPOLLOUT : 0);

  ts_watch (connection->shim->epoll, &connection->source, events);
}

static void
free_connection (struct ts_connection *connection)
{
  struct ts_connection **link = &connection->shim->connections;

  while (*link != connection)
    link = &(*link)->next;
  *link = connection->next;
  ts_leave_exec (connection);
  ts_leave_forward (connection);
  ts_leave_containers (connection);
  ts_close_source (connection->shim->epoll, &connection->source);
  ts_free_buffer (&connection->out);
  free (connection->payload);
  free (connection);
}

/* Handled in its own turn of the loop: somebody up the stack may be using the connection. */
void
ts_break_connection (struct ts_connection *connection)
{
  connection->closing = true;
  ts_free_buffer (&connection->out);
  connection->sent = 0;
  shutdown (connection->source.fd, SHUT_RDWR);
}

/* Somebody who always has something to read must not make the buffer grow. */
static void
compact (struct ts_connection *connection)
{
  size_t left = ts_backlog (connection);

  if (connection->sent < MIN_COMPACTION || connection->sent < left)
    return;
  memcpy (connection->out.bytes, connection->out.bytes + connection->sent, left);
  connection->out.size = left;
  connection->sent = 0;
}

static void
send_pending (struct ts_connection *connection)
{
  while (ts_backlog (connection))
    {
      ssize_t sent = send (connection->source.fd, connection->out.bytes + connection->sent, ts_backlog (connection),
                           MSG_NOSIGNAL | MSG_DONTWAIT);

      if (sent < 0 && errno == EINTR)
        continue;
      if (sent < 0 && errno == EAGAIN)
        break;
      if (sent < 0)
        {
          ts_break_connection (connection);
          return;
        }
      connection->sent += (size_t) sent;
      connection->progress += (size_t) sent;
    }
  if (!ts_backlog (connection))
    {
      ts_free_buffer (&connection->out);
      connection->sent = 0;
      /* The agent may be writing still: only what it reads ends here, and it hangs up when it has read all. */
      if (connection->closing)
        shutdown (connection->source.fd, SHUT_WR);
    }
  else
    compact (connection);
  watch (connection);
}

static void
check_room (struct ts_connection *connection)
{
  if (connection->out.failed || ts_backlog (connection) > MAX_BACKLOG)
    ts_break_connection (connection);
  else
    send_pending (connection);
}

void
ts_send (struct ts_connection *connection, struct ts_buffer *frame)
{
  if (connection->closing)
    {
      ts_free_buffer (frame);
      return;
    }
  if (frame->failed)
    connection->out.failed = true;
  ts_append (&connection->out, frame->bytes, frame->size);
  ts_free_buffer (frame);
  check_room (connection);
}

void
ts_send_data (struct ts_connection *connection, uint16_t type, const uint8_t *bytes, size_t size)
{
  size_t begin;

  if (connection->closing)
    return;
  begin = ts_begin_frame (&connection->out, type, 0);
  ts_append (&connection->out, bytes, size);
  ts_end_frame (&connection->out, begin);
  check_room (connection);
}

void
ts_send_ok (struct ts_connection *connection, uint32_t request)
{
  struct ts_buffer frame = { 0 };
  size_t begin = ts_begin_frame (&frame, TS_FRAME_OK, request);

  ts_end_frame (&frame, begin);
  ts_send (connection, &frame);
}

void
ts_send_failure (struct ts_connection *connection, uint32_t request, const struct ts_failure *failure)
{
  struct ts_buffer frame = { 0 };
  size_t begin = ts_begin_frame (&frame, TS_FRAME_ERROR, request);

  ts_put_u32 (&frame, TS_TAG_REASON, (uint32_t) failure->reason);
  ts_put_u32 (&frame, TS_TAG_ERRNO, (uint32_t) failure->error);
  ts_put_string (&frame, TS_TAG_STEP, failure->step);
  ts_put_string (&frame, TS_TAG_OPERAND, failure->operand);
  ts_end_frame (&frame, begin);
  ts_send (connection, &frame);
}

void
ts_finish_connection (struct ts_connection *connection)
{
  connection->closing = true;
  send_pending (connection);
}

void
ts_pause_connection (struct ts_connection *connection, bool paused)
{
  connection->paused = paused;
  watch (connection);
}

void
ts_flush_all (struct ts_shim *shim)
{
  for (struct ts_connection *connection = shim->connections; connection; connection = connection->next)
    send_pending (connection);
}

/* Reads what is missing of `size` bytes: 1 when all are there, 0 when not yet, -1 at the end. */
static int
fill (struct ts_connection *connection, uint8_t *bytes, size_t *have, size_t size)
{
  while (*have < size)
    {
      ssize_t received = recv (connection->source.fd, bytes + *have, size - *have, MSG_DONTWAIT);

      if (received < 0 && errno == EINTR)
        continue;
      if (received < 0 && errno == EAGAIN)
        return 0;
      if (received <= 0)
        return -1;
      *have += (size_t) received;
    }
  return 1;
}

static int
begin_payload (struct ts_connection *connection)
{
  ts_read_header (connection->header, &connection->frame);
  if (connection->frame.size > TS_MAX_PAYLOAD)
    return -1;
  connection->payload_size = 0;
  connection->payload = malloc (connection->frame.size + 1);
  return connection->payload ? 1 : -1;
}

/* Takes in one frame at most; 1 when one was handled, 0 when it is not complete, -1 when the connection is over. */
static int
receive_frame (struct ts_connection *connection)
{
  int state = 1;

  if (!connection->payload)
    {
      state = fill (connection, connection->header, &connection->header_size, TS_HEADER_SIZE);
      if (state == 1)
        state = begin_payload (connection);
    }
  if (state == 1)
    state = fill (connection, connection->payload, &connection->payload_size, connection->frame.size);
  if (state != 1)
    return state;
  connection->header_size = 0;
  ts_dispatch (connection);
  free (connection->payload);
  connection->payload = NULL;
  return 1;
}

static void
connection_ready (struct ts_source *source, uint32_t events)
{
  struct ts_connection *connection = ts_owner (source, struct ts_connection, source);
  bool over = events & (EPOLLHUP | EPOLLERR);

  if (!over && (events & EPOLLOUT))
    {
      send_pending (connection);
      if (connection->exec && !ts_backlog (connection))
        ts_resume_exec (connection->exec);
      if (connection->attached)
        ts_resume_streams (connection->attached);
      if (connection->forward && !ts_backlog (connection))
        ts_resume_forward (connection->forward);
    }
  /* One frame a turn: other connections and the containers' outputs get theirs. */
  if (!over && !connection->closing && (events & EPOLLIN) && !connection->paused)
    over = receive_frame (connection) < 0;
  if (over)
    free_connection (connection);
}

static bool
is_root (int fd)
{
  struct ucred peer;
  socklen_t size = sizeof peer;

  return getsockopt (fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) == 0 && peer.uid == 0;
}

static size_t
count_connections (const struct ts_shim *shim)
{
  size_t count = 0;

  for (const struct ts_connection *connection = shim->connections; connection; connection = connection->next)
    count++;
  return count;
}

void
ts_begin_connection (struct ts_shim *shim, int fd, bool subscribed)
{
  struct ts_connection *connection = calloc (1, sizeof *connection);

  if (!connection)
    {
      close (fd);
      return;
    }
  connection->shim = shim;
  connection->subscribed = subscribed;
  connection->source = (struct ts_source){ .fd = fd, .ready = connection_ready };
  connection->next = shim->connections;
  shim->connections = connection;
  watch (connection);
}

static void
listener_ready (struct ts_source *source, uint32_t events)
{
  struct ts_shim *shim = ts_owner (source, struct ts_shim, listener);
  cleanup_close int fd = accept4 (source->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

  (void) events;
  if (fd >= 0 && is_root (fd) && count_connections (shim) < MAX_CONNECTIONS)
    ts_begin_connection (shim, steal_fd (&fd), false);
}

/* A path socket, never an abstract one, which every process in the network namespace could reach (CVE-2020-15257). */
int
ts_listen (struct ts_shim *shim, struct ts_failure *failure)
{
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  cleanup_close int fd = socket (AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  int err;

  if (fd < 0)
    return ts_fail_step (failure, errno, "make socket");
  if (snprintf (address.sun_path, sizeof address.sun_path, "%s/shim.sock", shim->run_dir)
      >= (int) sizeof address.sun_path)
    return ts_refuse (failure, TS_INVALID_ARGUMENT, ENAMETOOLONG, "bind socket", "%s/shim.sock", shim->run_dir);
  /* Linux gives the file the socket's own mode. */
  if (fchmod (fd, 0600) < 0 || bind (fd, (struct sockaddr *) &address, sizeof address) < 0)
    return ts_fail (failure, errno, "bind socket", "%s", address.sun_path);
  if (listen (fd, MAX_CONNECTIONS) < 0)
    return ts_fail (failure, errno, "listen", "%s", address.sun_path);
  shim->listener = (struct ts_source){ .fd = steal_fd (&fd), .ready = listener_ready };
  err = ts_watch (shim->epoll, &shim->listener, EPOLLIN);
  return err < 0 ? ts_fail_step (failure, -err, "watch socket") : 0;
}

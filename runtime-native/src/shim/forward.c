/* A connection to a port of the pod, which the shim can make because it lives in the pod's network namespace. It
   belongs to the agent's connection: bytes go both ways with the sender waiting for the reader, each direction ends by
   itself. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shim/protocol.h"
#include "shim/shim.h"

struct ts_forward
{
  struct ts_shim *shim;
  struct ts_connection *connection;
  uint32_t request;
  uint16_t port;
  int error; /* of the first address */
  bool is_connected;
  struct ts_source socket;
  struct ts_input input; /* over a descriptor of its own for the same socket */
};

static void
free_forward (struct ts_forward *forward)
{
  forward->connection->forward = NULL;
  forward->input.shuts_down = false;
  ts_close_input (&forward->input);
  ts_close_source (forward->shim->epoll, &forward->socket);
  free (forward);
}

static void
fail (struct ts_forward *forward, const char *step, int error)
{
  struct ts_connection *connection = forward->connection;
  struct ts_failure failure = { 0 };

  ts_fail (&failure, error, step, "localhost:%u", forward->port);
  ts_send_failure (connection, forward->is_connected ? 0 : forward->request, &failure);
  free_forward (forward);
  ts_finish_connection (connection);
}

/* Both directions have ended. */
static bool
is_over (const struct ts_forward *forward)
{
  return forward->is_connected && forward->socket.fd < 0 && forward->input.source.fd < 0;
}

static void
finish_if_over (struct ts_forward *forward)
{
  struct ts_connection *connection = forward->connection;

  if (!is_over (forward))
    return;
  free_forward (forward);
  ts_finish_connection (connection);
}

/* ---- from the pod ---- */

static void
end_output (struct ts_forward *forward)
{
  struct ts_buffer frame = { 0 };
  size_t begin = ts_begin_frame (&frame, TS_FRAME_STDOUT_END, 0);

  ts_close_source (forward->shim->epoll, &forward->socket);
  ts_end_frame (&frame, begin);
  ts_send (forward->connection, &frame);
}

/* Reads while the agent takes it. */
static void
pump (struct ts_forward *forward)
{
  static uint8_t bytes[TS_MAX_DATA];

  while (forward->socket.fd >= 0)
    {
      ssize_t size;

      if (ts_backlog (forward->connection))
        {
          ts_watch (forward->shim->epoll, &forward->socket, 0);
          return;
        }
      size = recv (forward->socket.fd, bytes, sizeof bytes, MSG_DONTWAIT);
      if (size < 0 && errno == EINTR)
        continue;
      if (size < 0 && errno == EAGAIN)
        {
          ts_watch (forward->shim->epoll, &forward->socket, EPOLLIN);
          return;
        }
      if (size < 0)
        {
          fail (forward, "read from port", errno);
          return;
        }
      if (size == 0)
        end_output (forward);
      else
        ts_send_data (forward->connection, TS_FRAME_STDOUT, bytes, (size_t) size);
    }
  finish_if_over (forward);
}

static void
port_ready (struct ts_source *source, uint32_t events)
{
  (void) events;
  pump (ts_owner (source, struct ts_forward, socket));
}

void
ts_resume_forward (struct ts_forward *forward)
{
  if (forward->is_connected)
    pump (forward);
}

/* ---- to the pod ---- */

struct ts_input *
ts_forward_input (struct ts_forward *forward)
{
  return forward->is_connected ? &forward->input : NULL;
}

void
ts_settle_forward (struct ts_forward *forward)
{
  finish_if_over (forward);
}

/* ---- connecting ---- */

static void
connected (struct ts_forward *forward)
{
  int input = fcntl (forward->socket.fd, F_DUPFD_CLOEXEC, 0);

  if (input < 0)
    {
      fail (forward, "connect to port", errno);
      return;
    }
  ts_begin_input (forward->shim, &forward->input, input);
  forward->input.shuts_down = true;
  forward->is_connected = true;
  forward->socket.ready = port_ready;
  ts_send_ok (forward->connection, forward->request);
  pump (forward);
}

static void connect_ready (struct ts_source *source, uint32_t events);

static int
begin_connect (struct ts_forward *forward, int family)
{
  struct sockaddr_in v4
      = { .sin_family = AF_INET, .sin_addr = { htonl (INADDR_LOOPBACK) }, .sin_port = htons (forward->port) };
  struct sockaddr_in6 v6
      = { .sin6_family = AF_INET6, .sin6_addr = in6addr_loopback, .sin6_port = htons (forward->port) };
  const struct sockaddr *address = family == AF_INET ? (struct sockaddr *) &v4 : (struct sockaddr *) &v6;
  int fd = socket (family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

  if (fd < 0)
    return -errno;
  forward->socket = (struct ts_source){ .fd = fd, .ready = connect_ready };
  if (connect (fd, address, family == AF_INET ? sizeof v4 : sizeof v6) < 0 && errno != EINPROGRESS)
    return -errno;
  return ts_watch (forward->shim->epoll, &forward->socket, EPOLLOUT);
}

/* Some programs listen on one of the two only. What the first said is told when both refuse. */
static void
connect_failed (struct ts_forward *forward, int error)
{
  bool is_second = forward->error != 0;
  int err;

  ts_close_source (forward->shim->epoll, &forward->socket);
  if (!is_second)
    {
      forward->error = error;
      err = begin_connect (forward, AF_INET6);
      if (err == 0)
        return;
    }
  fail (forward, "connect to port", forward->error);
}

static void
connect_ready (struct ts_source *source, uint32_t events)
{
  struct ts_forward *forward = ts_owner (source, struct ts_forward, socket);
  socklen_t size = sizeof (int);
  int error = 0;

  (void) events;
  if (getsockopt (source->fd, SOL_SOCKET, SO_ERROR, &error, &size) < 0)
    error = errno;
  if (error)
    connect_failed (forward, error);
  else
    connected (forward);
}

void
ts_start_forward (struct ts_connection *connection, uint16_t port)
{
  struct ts_forward *forward = calloc (1, sizeof *forward);
  struct ts_failure failure = { 0 };
  int err;

  if (!forward)
    {
      ts_fail (&failure, ENOMEM, "connect to port", "localhost:%u", port);
      ts_send_failure (connection, connection->frame.request, &failure);
      return;
    }
  *forward = (struct ts_forward){
    .shim = connection->shim,
    .connection = connection,
    .request = connection->frame.request,
    .port = port,
    .socket.fd = -1,
    .input = { .shim = connection->shim, .source.fd = -1 },
  };
  connection->forward = forward;
  err = begin_connect (forward, AF_INET);
  if (err < 0)
    connect_failed (forward, -err);
}

/* The agent has gone without an end: the pod's program is to see a reset, not an end that looks like all there was. */
void
ts_leave_forward (struct ts_connection *connection)
{
  static const struct linger at_once = { .l_onoff = 1, .l_linger = 0 };
  struct ts_forward *forward = connection->forward;

  if (!forward)
    return;
  if (forward->input.source.fd >= 0)
    setsockopt (forward->input.source.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  else if (forward->socket.fd >= 0)
    setsockopt (forward->socket.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
  forward->input.from = NULL;
  free_forward (forward);
}

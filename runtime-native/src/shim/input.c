#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "shim/shim.h"

/* Forgets what is left; the connection may send on. */
static void
drop (struct ts_input *input)
{
  free (input->bytes);
  input->bytes = NULL;
  input->size = 0;
  input->taken = 0;
  if (input->from)
    ts_pause_connection (input->from, false);
  input->from = NULL;
}

void
ts_close_input (struct ts_input *input)
{
  drop (input);
  if (input->shuts_down && input->source.fd >= 0)
    shutdown (input->source.fd, SHUT_WR);
  ts_close_source (input->shim->epoll, &input->source);
}

static void
write_on (struct ts_input *input)
{
  while (input->taken < input->size)
    {
      ssize_t written = write (input->source.fd, input->bytes + input->taken, input->size - input->taken);

      if (written < 0 && errno == EINTR)
        continue;
      if (written < 0 && errno == EAGAIN)
        {
          ts_watch (input->shim->epoll, &input->source, EPOLLOUT);
          return;
        }
      if (written < 0)
        {
          /* The process reads no more: what else is sent goes nowhere, as in a pipe of a shell. */
          ts_close_input (input);
          return;
        }
      input->taken += (size_t) written;
    }
  ts_watch (input->shim->epoll, &input->source, 0);
  drop (input);
  if (input->ends)
    ts_close_input (input);
}

static void
input_ready (struct ts_source *source, uint32_t events)
{
  struct ts_input *input = ts_owner (source, struct ts_input, source);

  (void) events;
  write_on (input);
}

void
ts_begin_input (struct ts_shim *shim, struct ts_input *input, int fd)
{
  *input = (struct ts_input){ .shim = shim, .source = { .fd = fd, .ready = input_ready } };
  if (fd >= 0)
    fcntl (fd, F_SETFL, O_NONBLOCK | O_WRONLY);
}

void
ts_write_input (struct ts_input *input, struct ts_connection *from)
{
  /* Only one writer at a time: with several attached, the others' bytes are dropped while one waits. */
  if (input->source.fd < 0 || input->bytes || input->ends)
    return;
  input->bytes = from->payload;
  input->size = from->frame.size;
  from->payload = NULL;
  input->from = from;
  ts_pause_connection (from, true);
  write_on (input);
}

void
ts_end_input (struct ts_input *input, struct ts_connection *from)
{
  (void) from;
  input->ends = true;
  if (!input->bytes)
    ts_close_input (input);
}

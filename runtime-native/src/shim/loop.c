#include "shim/loop.h"

#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

int
ts_watch (int epoll, struct ts_source *source, uint32_t events)
{
  struct epoll_event event = { .events = events, .data.ptr = source };
  int operation = !events ? EPOLL_CTL_DEL : source->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;

  if (source->fd < 0 || events == source->watched)
    return 0;
  if (epoll_ctl (epoll, operation, source->fd, &event) < 0)
    return -errno;
  source->watched = events;
  return 0;
}

void
ts_close_source (int epoll, struct ts_source *source)
{
  if (source->fd < 0)
    return;
  /* Closing alone would not do: a child that is being started may share the open file for a moment. */
  ts_watch (epoll, source, 0);
  close (source->fd);
  source->fd = -1;
}

void
ts_run_once (int epoll)
{
  struct epoll_event event;

  if (epoll_wait (epoll, &event, 1, -1) == 1)
    {
      struct ts_source *source = event.data.ptr;

      source->ready (source, event.events);
    }
}

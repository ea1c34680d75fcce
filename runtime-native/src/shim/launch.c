#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "container/channel.h"
#include "lib/cleanup.h"
#include "shim/shim.h"

bool
ts_is_launching (const struct ts_launch *launch)
{
  return launch->channel.fd >= 0;
}

void
ts_end_launch (struct ts_launch *launch)
{
  ts_close_source (launch->shim->epoll, &launch->channel);
}

static void
take_report (struct ts_launch *launch, const struct ts_report *report, pid_t sender, int fd)
{
  switch (report->kind)
    {
    case TS_REPORT_READY:
      launch->ready = true;
      launch->pid = sender;
      break;
    case TS_REPORT_PROCESS:
      launch->pid = report->pid;
      break;
    case TS_REPORT_TERMINAL:
      if (launch->terminal >= 0)
        close (launch->terminal);
      launch->terminal = fd;
      return;
    default:
      launch->failed = true;
      launch->failure = report->failure;
      break;
    }
  if (fd >= 0)
    close (fd);
}

void
ts_advance_launch (struct ts_launch *launch)
{
  struct ts_report report;
  pid_t sender;
  int fd = -1;
  int more;

  while ((more = ts_channel_receive (launch->channel.fd, &report, &sender, &fd)) > 0)
    {
      take_report (launch, &report, sender, fd);
      fd = -1;
    }
  if (more != -EAGAIN)
    ts_complete_launch (launch);
}

void
ts_complete_launch (struct ts_launch *launch)
{
  ts_end_launch (launch);
  if (!launch->ready && !launch->failed)
    {
      launch->failed = true;
      ts_fail (&launch->failure, ECHILD, "set up process", "it was killed before it could start");
    }
  launch->done (launch);
}

static void
channel_ready (struct ts_source *source, uint32_t events)
{
  (void) events;
  ts_advance_launch (ts_owner (source, struct ts_launch, channel));
}

int
ts_begin_launch (struct ts_shim *shim, struct ts_launch *launch, void (*done) (struct ts_launch *))
{
  int ends[2];
  int err = ts_channel_open (ends);

  *launch = (struct ts_launch){ .shim = shim, .channel = { .fd = -1, .ready = channel_ready }, .terminal = -1 };
  launch->done = done;
  if (err < 0)
    return err;
  launch->channel.fd = ends[0];
  err = ts_watch (shim->epoll, &launch->channel, EPOLLIN);
  if (err < 0)
    {
      ts_end_launch (launch);
      close (ends[1]);
      return err;
    }
  return ends[1];
}

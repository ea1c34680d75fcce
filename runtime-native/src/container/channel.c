#include "container/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "lib/cleanup.h"

int
ts_channel_open (int ends[2])
{
  const int on = 1;

  if (socketpair (AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) < 0)
    return -errno;
  if (setsockopt (ends[0], SOL_SOCKET, SO_PASSCRED, &on, sizeof on) < 0 || fcntl (ends[0], F_SETFL, O_NONBLOCK) < 0)
    {
      int err = -errno;

      close (ends[0]);
      close (ends[1]);
      return err;
    }
  return 0;
}

static int
send_report (int channel, const struct ts_report *report, int fd)
{
  struct iovec part = { .iov_base = (void *) (uintptr_t) report, .iov_len = sizeof *report };
  union
  {
    struct cmsghdr header;
    char space[CMSG_SPACE (sizeof (int))];
  } control;
  struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };

  if (fd >= 0)
    {
      memset (&control, 0, sizeof control);
      control.header.cmsg_level = SOL_SOCKET;
      control.header.cmsg_type = SCM_RIGHTS;
      control.header.cmsg_len = CMSG_LEN (sizeof fd);
      memcpy (CMSG_DATA (&control.header), &fd, sizeof fd);
      message.msg_control = &control;
      message.msg_controllen = sizeof control;
    }
  return sendmsg (channel, &message, MSG_NOSIGNAL) < 0 ? -errno : 0;
}

int
ts_channel_send (int channel, enum ts_report_kind kind, const struct ts_failure *failure, int fd)
{
  struct ts_report report = { .kind = kind };

  if (failure)
    report.failure = *failure;
  return send_report (channel, &report, fd);
}

int
ts_channel_send_process (int channel, pid_t pid)
{
  const struct ts_report report = { .kind = TS_REPORT_PROCESS, .pid = pid };

  return send_report (channel, &report, -1);
}

/* musl's CMSG_NXTHDR compares a signed with an unsigned size. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-compare"
static void
read_control (struct msghdr *message, pid_t *sender, int *fd)
{
  for (struct cmsghdr *part = CMSG_FIRSTHDR (message); part; part = CMSG_NXTHDR (message, part))
    {
      if (part->cmsg_level != SOL_SOCKET)
        continue;
      if (part->cmsg_type == SCM_CREDENTIALS && part->cmsg_len >= CMSG_LEN (sizeof (struct ucred)))
        {
          struct ucred credentials;

          memcpy (&credentials, CMSG_DATA (part), sizeof credentials);
          *sender = credentials.pid;
        }
      else if (part->cmsg_type == SCM_RIGHTS && part->cmsg_len >= CMSG_LEN (sizeof *fd))
        memcpy (fd, CMSG_DATA (part), sizeof *fd);
    }
}
#pragma GCC diagnostic pop

int
ts_channel_receive (int channel, struct ts_report *report, pid_t *sender, int *fd)
{
  struct iovec part = { .iov_base = report, .iov_len = sizeof *report };
  union
  {
    struct cmsghdr header;
    char space[CMSG_SPACE (sizeof (int)) + CMSG_SPACE (sizeof (struct ucred))];
  } control;
  struct msghdr message
      = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
  cleanup_close int received = -1;
  ssize_t size;

  memset (&control, 0, sizeof control);
  do
    size = recvmsg (channel, &message, MSG_CMSG_CLOEXEC);
  while (size < 0 && errno == EINTR);
  if (size <= 0)
    return size < 0 && errno != ECONNRESET ? -errno : 0;
  *sender = 0;
  read_control (&message, sender, &received);
  if (size != sizeof *report)
    return -EPROTO;
  report->failure.step[sizeof report->failure.step - 1] = '\0';
  report->failure.operand[sizeof report->failure.operand - 1] = '\0';
  *fd = steal_fd (&received);
  return 1;
}

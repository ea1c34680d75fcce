#include "link.h"

#include "file.h"

#include <errno.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

int
link_up_loopback (struct failure *failure)
{
  struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP };
  cleanup_close int fd = socket (AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

  if (fd < 0 || ioctl (fd, SIOCSIFFLAGS, &request) < 0)
    return fail (failure, errno, "set lo up");
  return 0;
}

bool
link_has_address (const char *name)
{
  struct ifreq request = { 0 };
  cleanup_close int fd = socket (AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

  snprintf (request.ifr_name, sizeof request.ifr_name, "%s", name);
  return fd >= 0 && ioctl (fd, SIOCGIFADDR, &request) == 0;
}

int
link_watch_open (struct failure *failure)
{
  const struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = RTMGRP_IPV4_IFADDR };
  int fd = socket (AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);

  if (fd < 0)
    return fail (failure, errno, "open a netlink socket");
  if (bind (fd, (const struct sockaddr *)&address, sizeof address) < 0)
    {
      int error = errno;
      close (fd);
      return fail (failure, error, "listen for addresses");
    }
  return fd;
}

void
link_watch_drain (int fd)
{
  char buffer[4096];

  while (recv (fd, buffer, sizeof buffer, MSG_DONTWAIT) > 0 || errno == ENOBUFS || errno == EINTR)
    errno = 0;
}

/* Ports of the node that lead to pods: who has them, and 127.0.0.1's way there. The rules that lead are the caller's.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>

#include "lib/cleanup.h"
#include "lib/result.h"
#include "lib/sysctl.h"

/* A listener, not only a bound socket: with SO_REUSEADDR on both sides two sockets may be bound to one port while none
   listens (bind(2), inet_csk_bind_conflict), and without it connections that ended a moment ago would refuse us the
   port for a minute. */
static int
take_port (int fd, const struct sockaddr_in *address, bool has_connections)
{
  const int on = 1;

  if (has_connections && setsockopt (fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0)
    return -errno;
  if (bind (fd, (const struct sockaddr *) address, sizeof *address) < 0)
    return -errno;
  return has_connections && listen (fd, 0) < 0 ? -errno : 0;
}

int
ts_host_port_hold (const struct ts_host_port *port, int32_t *out, struct ts_result *res)
{
  const bool has_connections = port->protocol != IPPROTO_UDP;
  struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons ((uint16_t) port->port) };
  cleanup_close int fd = -1;
  int err;

  *out = -1;
  if (inet_pton (AF_INET, port->address, &address.sin_addr) != 1 || port->port == 0 || port->port > UINT16_MAX)
    return ts_fail (res, EINVAL, "parse host port", "\"%s\", %u", port->address, port->port);
  fd = socket (AF_INET, (has_connections ? SOCK_STREAM : SOCK_DGRAM) | SOCK_CLOEXEC, (int) port->protocol);
  if (fd < 0 && errno == EPROTONOSUPPORT)
    return 0;
  if (fd < 0)
    return ts_fail (res, errno, "open socket", "of protocol %u", port->protocol);
  err = take_port (fd, &address, has_connections);
  if (err < 0)
    return ts_fail (res, -err, "hold host port", "%s:%u", port->address, port->port);
  *out = steal_fd (&fd);
  return 0;
}

int
ts_route_loopback (const char *device, int32_t allow, struct ts_result *res)
{
  char name[96];
  const struct sysctl sysctls[] = { { name, allow ? "1" : "0" }, { NULL, NULL } };
  const char *fault;
  int err;

  snprintf (name, sizeof name, "net/ipv4/conf/%s/route_localnet", device);
  err = write_sysctls (sysctls, &fault);
  return err < 0 ? ts_fail (res, -err, "set kernel parameter", "%s", fault) : 0;
}

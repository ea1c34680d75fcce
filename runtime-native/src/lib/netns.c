/* Network namespaces of pods. What is to be done in one goes through a netlink socket that was opened there, which
   anybody may use; the thread that opens it is elsewhere only so long. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/sockios.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "lib/cleanup.h"
#include "lib/link.h"
#include "lib/node-network.h"
#include "lib/result.h"
#include "lib/route.h"
#include "lib/sysctl.h"

/* Inherited by eth0, which is made after them. */
static const struct sysctl pod_sysctls[] = {
  /* There is no IPv6 between pods: no link-local addresses, no router that a neighbour could pretend to be. */
  { "net/ipv6/conf/default/accept_ra", "0" },
  { "net/ipv6/conf/default/disable_ipv6", "1" },
  /* No need to be root for what is only the pod's own: low ports, and ping without raw sockets. */
  { "net/ipv4/ip_unprivileged_port_start", "0" },
  { "net/ipv4/ping_group_range", "0 2147483647" },
  { NULL, NULL },
};

/* The namespace that a socket is in: a descriptor, or -errno. */
static int
netns_of (const struct netlink *netlink)
{
  int fd = ioctl (netlink->fd, SIOCGSKNS);

  return fd < 0 ? -errno : fd;
}

/* ---- prepare ---- */

/* In a namespace that was just made. */
static int
furnish_netns (struct netlink *inside, struct ts_result *res)
{
  const char *fault;
  int err = write_sysctls (pod_sysctls, &fault);

  if (err < 0)
    return ts_fail (res, -err, "set kernel parameter of pod", "%s", fault);
  err = netlink_open (inside);
  return err < 0 ? ts_fail (res, -err, "open netlink socket", "in a pod's network namespace") : 0;
}

/* The calling thread goes on with everybody's work: it must not do that in a pod's namespace. */
static void
return_to_netns (int fd)
{
  if (setns (fd, CLONE_NEWNET) == 0)
    return;
  fprintf (stderr, "tessera: no return to the node's network namespace: %s\n", strerror (errno));
  abort ();
}

/* A thread of its own would cost more than the two system calls it takes to leave and to return. Nothing else runs in
   this one meanwhile: signal handlers would find themselves in a strange namespace. */
static int
make_netns (const struct netlink *outside, struct netlink *inside, struct ts_result *res)
{
  cleanup_close int home = netns_of (outside);
  sigset_t all, before;
  int err;

  if (home < 0)
    return ts_fail (res, -home, "open network namespace", "of the node");
  sigfillset (&all);
  pthread_sigmask (SIG_SETMASK, &all, &before);
  if (unshare (CLONE_NEWNET) < 0)
    err = ts_fail (res, errno, "make network namespace", "for a pod");
  else
    {
      err = furnish_netns (inside, res);
      return_to_netns (home);
    }
  pthread_sigmask (SIG_SETMASK, &before, NULL);
  return err;
}

static int
add_to_bridge (struct netlink *outside, const char *name, int bridge)
{
  struct netlink_batch batch;
  int index = find_link_index (outside, name);
  int err;

  if (index < 0)
    return index;
  netlink_collect (outside, &batch);
  err = set_link_master (outside, index, bridge, PORT_ISOLATED);
  if (err == 0)
    err = set_link_up (outside, index);
  return err < 0 ? err : netlink_send_collected (outside);
}

static int
bring_up (struct netlink *inside)
{
  struct netlink_batch batch;
  int lo = find_link_index (inside, "lo");
  int eth0 = find_link_index (inside, "eth0");
  int err;

  if (lo < 0 || eth0 < 0)
    return lo < 0 ? lo : eth0;
  netlink_collect (inside, &batch);
  err = set_link_up (inside, lo);
  /* An address that another pod had before is announced at once. */
  if (err == 0)
    err = set_arp_notify (inside, eth0);
  if (err == 0)
    err = set_link_up (inside, eth0);
  return err < 0 ? err : netlink_send_collected (inside);
}

static int
connect_netns (struct netlink *outside, struct netlink *inside, const char *bridge_name, const char *name, uint32_t mtu,
               struct ts_result *res)
{
  cleanup_close int fd = netns_of (inside);
  int bridge = find_link_index (outside, bridge_name);
  int err;

  if (fd < 0)
    return ts_fail (res, -fd, "open network namespace", "for %s", name);
  if (bridge < 0)
    return ts_fail (res, -bridge, "find bridge", "%s", bridge_name);
  err = make_veth (outside, name, mtu, fd);
  if (err == 0)
    err = add_to_bridge (outside, name, bridge);
  if (err < 0)
    return ts_fail (res, -err, "make device of pod", "%s on %s", name, bridge_name);
  err = bring_up (inside);
  return err < 0 ? ts_fail (res, -err, "bring up devices of pod", "eth0 of %s", name) : 0;
}

int
ts_netns_prepare (const char *bridge, const char *link, int32_t mtu, int32_t *control, struct ts_result *res)
{
  cleanup_netlink struct netlink outside = NETLINK_CLOSED;
  /* Closed after a failure, and with it goes all that is in there. */
  cleanup_netlink struct netlink inside = NETLINK_CLOSED;
  int err = netlink_open (&outside);

  if (err < 0)
    return ts_fail (res, -err, "open netlink socket", "%s", "");
  err = make_netns (&outside, &inside, res);
  if (err == 0)
    err = connect_netns (&outside, &inside, bridge, link, (uint32_t) mtu, res);
  if (err == 0)
    *control = steal_fd (&inside.fd);
  return err;
}

/* ---- assign ---- */

/* The MAC is derived from the address: what others remember of it stays true when the next pod gets it. Setting it
   after the address makes the kernel announce the pair (arp_notify). */
static int
set_pod_address (struct netlink *inside, uint32_t address, uint32_t gateway, const uint8_t mac[6])
{
  struct netlink_batch batch;
  int eth0 = find_link_index (inside, "eth0");
  int err;

  if (eth0 < 0)
    return eth0;
  netlink_collect (inside, &batch);
  err = add_address (inside, &(struct ipv4_address){ .address = address, .prefix = 32, .link = eth0 });
  if (err == 0)
    err = set_link_mac (inside, eth0, mac);
  if (err == 0)
    err = set_route (inside, &(struct ipv4_route){ .network = gateway, .prefix = 32, .link = eth0 });
  if (err == 0)
    err = set_route (inside, &(struct ipv4_route){ .gateway = gateway, .link = eth0 });
  return err < 0 ? err : netlink_send_collected (inside);
}

/* The node's end: whose it is, and who may send from there. */
static int
name_owner (const struct ts_netns_assignment *assignment, const uint8_t mac[6])
{
  cleanup_netlink struct netlink outside = NETLINK_CLOSED;
  struct netlink_batch batch;
  char alias[sizeof ((struct link_state *) NULL)->alias];
  int err = netlink_open (&outside);
  int link = err < 0 ? err : find_link_index (&outside, assignment->link);

  if (link < 0)
    return link;
  if (snprintf (alias, sizeof alias, "%s %s%s", assignment->id, assignment->address,
                assignment->has_host_ports ? POD_LINK_HOST_PORTS : "")
      >= (int) sizeof alias)
    return -ENAMETOOLONG;
  netlink_collect (&outside, &batch);
  err = set_link_alias (&outside, link, alias);
  if (err == 0)
    err = pin_mac_to_port (&outside, link, mac);
  if (err == 0 && assignment->has_host_ports)
    err = set_port_kind (&outside, link, PORT_OPEN);
  return err < 0 ? err : netlink_send_collected (&outside);
}

static int
give_address (struct netlink *inside, const struct ts_netns_assignment *assignment, uint32_t address, uint32_t gateway,
              struct ts_result *res)
{
  uint8_t mac[6];
  int err;

  mac_of_address (MAC_POD, address, mac);
  err = name_owner (assignment, mac);
  if (err < 0)
    return ts_fail (res, -err, "name owner of device", "%s", assignment->link);
  err = set_pod_address (inside, address, gateway, mac);
  return err < 0 ? ts_fail (res, -err, "set address of pod", "%s", assignment->address) : 0;
}

int
ts_netns_assign (const struct ts_netns_assignment *assignment, int32_t *netns, struct ts_result *res)
{
  cleanup_close int fd = -1;
  struct netlink inside; /* the caller's */
  struct in_addr address, gateway;
  int err;

  if (inet_pton (AF_INET, assignment->address, &address) != 1
      || inet_pton (AF_INET, assignment->gateway, &gateway) != 1)
    return ts_fail (res, EINVAL, "parse address", "\"%s\", \"%s\"", assignment->address, assignment->gateway);
  err = netlink_use (&inside, assignment->control);
  if (err < 0)
    return ts_fail (res, -err, "use netlink socket", "of %s", assignment->link);
  fd = netns_of (&inside);
  if (fd < 0)
    return ts_fail (res, -fd, "open network namespace", "of %s", assignment->link);
  err = give_address (&inside, assignment, address.s_addr, gateway.s_addr, res);
  if (err == 0)
    *netns = steal_fd (&fd);
  return err;
}

/* Network namespaces of pods. One is made and entered only in threads that end right after; what is to be done in it
   goes through a netlink socket that such a thread opened there, which anybody may use. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "lib/cleanup.h"
#include "lib/link.h"
#include "lib/node-network.h"
#include "lib/result.h"
#include "lib/route.h"
#include "lib/sysctl.h"
#include "lib/thread.h"

/* Inherited by eth0, which is made after them. */
static const struct sysctl pod_sysctls[] = {
  /* There is no IPv6 between pods: no link-local addresses, no router that a neighbour could pretend to be. */
  { "net/ipv6/conf/default/accept_ra", "0" },
  { "net/ipv6/conf/default/disable_ipv6", "1" },
  /* An address that another pod had before is announced at once. */
  { "net/ipv4/conf/default/arp_notify", "1" },
  /* No need to be root for what is only the pod's own: low ports, and ping without raw sockets. */
  { "net/ipv4/ip_unprivileged_port_start", "0" },
  { "net/ipv4/ping_group_range", "0 2147483647" },
  { NULL, NULL },
};

/* ---- in a thread ---- */

struct netns_job
{
  const char *path;        /* to hold the new one at */
  int netns_fd;            /* to enter instead of making one */
  struct netlink *netlink; /* opened in it */
  struct ts_result *res;
};

static int
make_netns (void *arg)
{
  struct netns_job *job = arg;
  const char *fault;
  int err;

  if (unshare (CLONE_NEWNET) < 0)
    return ts_fail (job->res, errno, "make network namespace", "%s", job->path);
  err = write_sysctls (pod_sysctls, &fault);
  if (err < 0)
    return ts_fail (job->res, -err, "set kernel parameter of pod", "%s", fault);
  err = netlink_open (job->netlink);
  if (err < 0)
    return ts_fail (job->res, -err, "open netlink socket", "in %s", job->path);
  if (mount ("/proc/thread-self/ns/net", job->path, NULL, MS_BIND, NULL) < 0)
    return ts_fail (job->res, errno, "hold network namespace", "%s", job->path);
  return 0;
}

static int
enter_netns (void *arg)
{
  struct netns_job *job = arg;

  if (setns (job->netns_fd, CLONE_NEWNET) < 0)
    return -errno;
  return netlink_open (job->netlink);
}

/* ---- holding ---- */

static int
open_netns (const char *path)
{
  int fd = open (path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);

  return fd < 0 ? -errno : fd;
}

static int
make_handle (const char *path, struct ts_result *res)
{
  cleanup_close int fd = open (path, O_RDONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

  return fd < 0 ? ts_fail (res, errno, "make handle of network namespace", "%s", path) : 0;
}

int
ts_netns_release (const char *path, struct ts_result *res)
{
  /* Not mounted on, after a crash in between: EINVAL. Several times: as often as there are mounts on it. */
  while (umount2 (path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
    continue;
  if (errno != EINVAL && errno != ENOENT)
    return ts_fail (res, errno, "release network namespace", "%s", path);
  if (unlink (path) < 0 && errno != ENOENT)
    return ts_fail (res, errno, "remove handle of network namespace", "%s", path);
  return 0;
}

/* ---- prepare ---- */

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
  if (err == 0)
    err = set_link_up (inside, eth0);
  return err < 0 ? err : netlink_send_collected (inside);
}

static int
connect_netns (struct netlink *inside, const char *path, const char *bridge_name, const char *name, uint32_t mtu,
               struct ts_result *res)
{
  cleanup_netlink struct netlink outside = NETLINK_CLOSED;
  cleanup_close int fd = open_netns (path);
  int err = fd < 0 ? fd : netlink_open (&outside);
  int bridge;

  if (err < 0)
    return ts_fail (res, -err, "open network namespace", "%s", path);
  bridge = find_link_index (&outside, bridge_name);
  if (bridge < 0)
    return ts_fail (res, -bridge, "find bridge", "%s", bridge_name);
  err = make_veth (&outside, name, POD_LINK_UNUSED, mtu, fd);
  if (err == 0)
    err = add_to_bridge (&outside, name, bridge);
  if (err < 0)
    return ts_fail (res, -err, "make device of pod", "%s on %s", name, bridge_name);
  err = bring_up (inside);
  return err < 0 ? ts_fail (res, -err, "bring up devices of pod", "%s", path) : 0;
}

int
ts_netns_prepare (const char *path, const char *bridge, const char *link, int32_t mtu, int32_t *control,
                  struct ts_result *res)
{
  cleanup_netlink struct netlink inside = NETLINK_CLOSED;
  struct netns_job job = { .path = path, .netns_fd = -1, .netlink = &inside, .res = res };
  struct ts_result ignored;
  bool started;
  int err = make_handle (path, res);

  if (err < 0)
    return err;
  err = run_in_thread (make_netns, &job, &started);
  if (!started)
    ts_fail (res, -err, "start thread", "for %s", path);
  if (err == 0)
    err = connect_netns (&inside, path, bridge, link, (uint32_t) mtu, res);
  if (err < 0)
    ts_netns_release (path, &ignored); /* and with it all that is in it */
  else
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
give_address (const struct ts_netns_assignment *assignment, uint32_t address, uint32_t gateway, struct ts_result *res)
{
  struct netlink inside; /* the caller's */
  uint8_t mac[6];
  int err = netlink_use (&inside, assignment->control);

  if (err < 0)
    return ts_fail (res, -err, "use netlink socket", "of %s", assignment->from);
  mac_of_address (MAC_POD, address, mac);
  err = name_owner (assignment, mac);
  if (err < 0)
    return ts_fail (res, -err, "name owner of device", "%s", assignment->link);
  err = set_pod_address (&inside, address, gateway, mac);
  return err < 0 ? ts_fail (res, -err, "set address of pod", "%s", assignment->address) : 0;
}

int
ts_netns_assign (const struct ts_netns_assignment *assignment, struct ts_result *res)
{
  struct in_addr address, gateway;
  struct ts_result ignored;
  int err;

  if (inet_pton (AF_INET, assignment->address, &address) != 1
      || inet_pton (AF_INET, assignment->gateway, &gateway) != 1)
    return ts_fail (res, EINVAL, "parse address", "\"%s\", \"%s\"", assignment->address, assignment->gateway);
  /* First: what is there already must not be touched. */
  err = make_handle (assignment->path, res);
  if (err < 0)
    return err;
  err = give_address (assignment, address.s_addr, gateway.s_addr, res);
  /* A second mount, then the first one away: a crash in between leaves both, and neither alone is a leak. */
  if (err == 0 && mount (assignment->from, assignment->path, NULL, MS_BIND, NULL) < 0)
    err = ts_fail (res, errno, "hold network namespace", "%s", assignment->path);
  if (err < 0)
    {
      ts_netns_release (assignment->path, &ignored);
      return err;
    }
  return ts_netns_release (assignment->from, res);
}

/* ---- check ---- */

static int
open_inside (const char *path, struct netlink *inside)
{
  cleanup_close int fd = open_netns (path);
  struct netns_job job = { .netns_fd = fd, .netlink = inside };
  bool started;

  return fd < 0 ? fd : run_in_thread (enter_netns, &job, &started);
}

struct address_check
{
  uint32_t address;
  int link;
  bool found;
};

static int
match_address (const struct ipv4_address *address, void *arg)
{
  struct address_check *check = arg;

  if (address->link == check->link && address->address == check->address)
    check->found = true;
  return 0;
}

int
ts_netns_check (const char *path, const char *address, int32_t *ready, struct ts_result *res)
{
  cleanup_netlink struct netlink inside = NETLINK_CLOSED;
  struct address_check check = { 0 };
  struct link_state eth0;
  struct in_addr parsed;
  int err;

  *ready = 0;
  if (inet_pton (AF_INET, address, &parsed) != 1)
    return ts_fail (res, EINVAL, "parse address", "\"%s\"", address);
  err = open_inside (path, &inside);
  /* EINVAL: a handle on which nothing is mounted. */
  if (err == -ENOENT || err == -EINVAL)
    return 0;
  if (err < 0)
    return ts_fail (res, -err, "enter network namespace", "%s", path);
  err = find_link (&inside, "eth0", &eth0);
  if (err == -ENODEV)
    return 0;
  check.address = parsed.s_addr;
  check.link = eth0.index;
  if (err == 0)
    err = for_each_address (&inside, match_address, &check);
  if (err < 0)
    return ts_fail (res, -err, "check network namespace", "%s", path);
  *ready = check.found && eth0.up;
  return 0;
}

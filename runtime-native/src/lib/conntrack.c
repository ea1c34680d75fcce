/* What the kernel tracks of connections. An address that was translated for the first packet of one is translated for
   all that follow, as long as they keep coming: a stream of datagrams from one port goes on to a pod that is gone, or
   to the node where a pod has taken the port meanwhile, unless the kernel is told to forget it. */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <stdlib.h>
#include <string.h>

#include "lib/conntrack.h"
#include "lib/netlink.h"
#include "lib/result.h"
#include "lib/route.h"

enum
{
  /* Dumps that began again because something changed meanwhile. */
  MAX_RESTARTS = 20
};

/* ---- reading ---- */

static uint32_t
read_address (const struct rtattr *tuple, uint16_t which)
{
  return netlink_u32 (netlink_find_in (netlink_find_in (tuple, CTA_TUPLE_IP), which));
}

static uint8_t
read_protocol (const struct rtattr *tuple)
{
  const struct rtattr *number = netlink_find_in (netlink_find_in (tuple, CTA_TUPLE_PROTO), CTA_PROTO_NUM);

  return number && RTA_PAYLOAD (number) >= 1 ? *(const uint8_t *) RTA_DATA (number) : 0;
}

static uint16_t
read_port (const struct rtattr *tuple, uint16_t which)
{
  const struct rtattr *attribute = netlink_find_in (netlink_find_in (tuple, CTA_TUPLE_PROTO), which);
  uint16_t port = 0;

  if (attribute && RTA_PAYLOAD (attribute) >= sizeof port)
    memcpy (&port, RTA_DATA (attribute), sizeof port);
  return ntohs (port);
}

bool
parse_connection (const struct nlmsghdr *message, struct connection *out)
{
  const size_t fixed = sizeof (struct nfgenmsg);
  const struct rtattr *original = netlink_find (message, fixed, CTA_TUPLE_ORIG);
  const struct rtattr *reply = netlink_find (message, fixed, CTA_TUPLE_REPLY);

  if (!original || !reply)
    return false;
  *out = (struct connection){
    .original = original,
    .id = netlink_find (message, fixed, CTA_ID),
    .protocol = read_protocol (original),
    .destination = read_address (original, CTA_IP_V4_DST),
    .destination_port = read_port (original, CTA_PROTO_DST_PORT),
    .answers_from = read_address (reply, CTA_IP_V4_SRC),
    .is_redirected = ntohl (netlink_u32 (netlink_find (message, fixed, CTA_STATUS))) & IPS_DST_NAT,
  };
  return true;
}

/* ---- forgetting ---- */

struct address_list
{
  uint32_t *addresses;
  size_t count;
  size_t capacity;
};

struct forgetting
{
  bool (*is_meant) (const struct connection *connection, const struct forgetting *forgetting);
  uint32_t address; /* of the pod, or of the node; 0: any of the node's */
  uint32_t protocol;
  uint32_t port;
  struct address_list own; /* the node's addresses */
  struct netlink deletion; /* beside the socket of the dump */
};

static int
delete_connection (struct netlink *netlink, const struct connection *connection)
{
  const struct nfgenmsg fixed = { .nfgen_family = AF_INET, .version = NFNETLINK_V0 };
  struct netlink_request request;
  int err;

  netlink_begin (&request, (NFNL_SUBSYS_CTNETLINK << 8) | IPCTNL_MSG_CT_DELETE, 0, &fixed, sizeof fixed);
  netlink_put (&request, CTA_TUPLE_ORIG | NLA_F_NESTED, RTA_DATA (connection->original),
               RTA_PAYLOAD (connection->original));
  /* Not another one that has the same ends since. */
  if (connection->id)
    netlink_put (&request, CTA_ID, RTA_DATA (connection->id), RTA_PAYLOAD (connection->id));
  err = netlink_talk (netlink, &request);
  return err == -ENOENT ? 0 : err;
}

static int
visit_connection (const struct nlmsghdr *message, void *arg)
{
  struct forgetting *forgetting = arg;
  struct connection connection;

  if (!parse_connection (message, &connection) || !forgetting->is_meant (&connection, forgetting))
    return 0;
  return delete_connection (&forgetting->deletion, &connection);
}

static int
dump_connections (struct netlink *netlink, struct forgetting *forgetting)
{
  const struct nfgenmsg fixed = { .nfgen_family = AF_INET, .version = NFNETLINK_V0 };
  int err = -EAGAIN;

  for (int round = 0; round < MAX_RESTARTS && err == -EAGAIN; round++)
    {
      struct netlink_request request;

      netlink_begin (&request, (NFNL_SUBSYS_CTNETLINK << 8) | IPCTNL_MSG_CT_GET, 0, &fixed, sizeof fixed);
      err = netlink_dump (netlink, &request, visit_connection, forgetting);
    }
  /* No such part of netfilter in this kernel: nfnetlink_rcv_msg. */
  return err == -EINVAL || err == -EOPNOTSUPP ? 0 : err;
}

static int
forget_connections (struct forgetting *forgetting)
{
  cleanup_netlink struct netlink netlink = NETLINK_CLOSED;
  int err = netlink_open_netfilter (&netlink);

  forgetting->deletion = (struct netlink) NETLINK_CLOSED;
  /* A kernel without netfilter tracks nothing. */
  if (err == -EPROTONOSUPPORT)
    return 0;
  if (err == 0)
    err = netlink_open_netfilter (&forgetting->deletion);
  if (err == 0)
    err = dump_connections (&netlink, forgetting);
  netlink_close (&forgetting->deletion);
  return err;
}

/* ---- of a pod ---- */

static bool
was_led_to_pod (const struct connection *connection, const struct forgetting *forgetting)
{
  return connection->is_redirected && connection->answers_from == forgetting->address;
}

int
ts_conntrack_forget_pod (const char *address, struct ts_result *res)
{
  struct forgetting forgetting = { .is_meant = was_led_to_pod };
  struct in_addr parsed;
  int err;

  if (inet_pton (AF_INET, address, &parsed) != 1)
    return ts_fail (res, EINVAL, "parse address", "\"%s\"", address);
  forgetting.address = parsed.s_addr;
  err = forget_connections (&forgetting);
  return err < 0 ? ts_fail (res, -err, "forget connections", "to %s", address) : 0;
}

/* ---- of a port ---- */

static bool
is_own_address (uint32_t address, const struct address_list *own)
{
  if (ntohl (address) >> 24 == IN_LOOPBACKNET)
    return true;
  for (size_t i = 0; i < own->count; i++)
    if (own->addresses[i] == address)
      return true;
  return false;
}

/* Not what only passes through: a pod may be talking to the same port of somebody else. */
static bool
was_taken_for_node (const struct connection *connection, const struct forgetting *forgetting)
{
  if (connection->is_redirected || connection->protocol != forgetting->protocol
      || connection->destination_port != forgetting->port)
    return false;
  if (forgetting->address)
    return connection->destination == forgetting->address;
  return is_own_address (connection->destination, &forgetting->own);
}

static int
collect_address (const struct ipv4_address *address, void *arg)
{
  struct address_list *list = arg;

  if (list->count == list->capacity)
    {
      size_t capacity = list->capacity ? list->capacity * 2 : 16;
      uint32_t *larger = reallocarray (list->addresses, capacity, sizeof *larger);

      if (!larger)
        return -ENOMEM;
      list->addresses = larger;
      list->capacity = capacity;
    }
  list->addresses[list->count++] = address->address;
  return 0;
}

static int
collect_addresses (struct address_list *list)
{
  cleanup_netlink struct netlink netlink = NETLINK_CLOSED;
  int err = netlink_open (&netlink);

  if (err < 0)
    return err;
  err = -EAGAIN;
  for (int round = 0; round < MAX_RESTARTS && err == -EAGAIN; round++)
    {
      list->count = 0;
      err = for_each_address (&netlink, collect_address, list);
    }
  return err;
}

int
ts_conntrack_forget_port (const struct ts_host_port *port, struct ts_result *res)
{
  struct forgetting forgetting = { .is_meant = was_taken_for_node, .protocol = port->protocol, .port = port->port };
  struct in_addr parsed;
  int err;

  if (inet_pton (AF_INET, port->address, &parsed) != 1)
    return ts_fail (res, EINVAL, "parse address", "\"%s\"", port->address);
  forgetting.address = parsed.s_addr;
  err = collect_addresses (&forgetting.own);
  if (err == 0)
    err = forget_connections (&forgetting);
  free (forgetting.own.addresses);
  return err < 0 ? ts_fail (res, -err, "forget connections", "to port %u", port->port) : 0;
}

/* How a node reaches the pods of the others: for each peer a route into the VXLAN device, a neighbour that says which
   MAC the route's gateway has, and a forwarding entry that says behind which node that MAC is. The gateway's address
   is the peer network's own, which nobody has: the three entries are all it takes, no packet asks. */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/cleanup.h"
#include "lib/link.h"
#include "lib/node-network.h"
#include "lib/result.h"
#include "lib/route.h"

enum
{
  MAX_RESTARTS = 20,
  /* Entries deleted in one round; more need more rounds. */
  MAX_STALE = 256,
};

struct peer_table
{
  struct netlink *netlink;
  const struct ts_peer *peers;
  uint32_t count;
  int link;
  uint32_t source;
};

static const struct ts_peer *
find_by_network (const struct peer_table *table, uint32_t network)
{
  for (uint32_t i = 0; i < table->count; i++)
    if (htonl (table->peers[i].network) == network)
      return &table->peers[i];
  return NULL;
}

static bool
has_node (const struct peer_table *table, uint32_t node_address)
{
  for (uint32_t i = 0; i < table->count; i++)
    if (htonl (table->peers[i].node_address) == node_address)
      return true;
  return false;
}

/* What is there and belongs to no peer. Deleted after the dump: a dump does not take changes well. */
struct stale
{
  const struct peer_table *table;
  int route_count;
  struct ipv4_route routes[MAX_STALE];
  int neighbour_count;
  struct neighbour neighbours[MAX_STALE];
};

static int
check_route (const struct ipv4_route *route, void *arg)
{
  struct stale *stale = arg;
  const struct ts_peer *peer = find_by_network (stale->table, route->network);

  if ((!peer || peer->prefix != (uint32_t) route->prefix) && stale->route_count < MAX_STALE)
    stale->routes[stale->route_count++] = *route;
  return 0;
}

static int
check_neighbour (const struct neighbour *neighbour, void *arg)
{
  struct stale *stale = arg;

  if (!find_by_network (stale->table, neighbour->address) && stale->neighbour_count < MAX_STALE)
    stale->neighbours[stale->neighbour_count++] = *neighbour;
  return 0;
}

static int
check_forwarding (const struct neighbour *entry, void *arg)
{
  struct stale *stale = arg;
  uint8_t mac[6];

  mac_of_address (MAC_VXLAN, entry->address, mac);
  if ((!has_node (stale->table, entry->address) || memcmp (mac, entry->mac, sizeof mac) != 0)
      && stale->neighbour_count < MAX_STALE)
    stale->neighbours[stale->neighbour_count++] = *entry;
  return 0;
}

/* Returns how many entries were deleted, or -errno. */
static int
delete_stale (const struct peer_table *table, struct stale *stale)
{
  struct netlink *netlink = table->netlink;
  int err;

  memset (stale, 0, sizeof *stale);
  stale->table = table;
  err = for_each_route (netlink, table->link, check_route, stale);
  if (err == 0)
    err = for_each_neighbour (netlink, AF_INET, table->link, check_neighbour, stale);
  if (err == 0)
    err = for_each_neighbour (netlink, AF_BRIDGE, table->link, check_forwarding, stale);
  if (err < 0)
    return err;
  for (int i = 0; i < stale->route_count; i++)
    {
      err = delete_route (netlink, &stale->routes[i]);
      if (err < 0 && err != -ESRCH)
        return err;
    }
  for (int i = 0; i < stale->neighbour_count; i++)
    {
      err = delete_neighbour (netlink, &stale->neighbours[i]);
      if (err < 0 && err != -ENOENT)
        return err;
    }
  return stale->route_count + stale->neighbour_count;
}

static int
delete_all_stale (const struct peer_table *table)
{
  cleanup_free struct stale *stale = malloc (sizeof *stale);
  int deleted = 1, restarts = 0;

  if (!stale)
    return -ENOMEM;
  while (deleted > 0)
    {
      deleted = delete_stale (table, stale);
      if (deleted == -EAGAIN && restarts++ < MAX_RESTARTS)
        deleted = 1;
    }
  return deleted;
}

/* The forwarding entry first and the route last: a packet that finds the route finds the rest as well. */
static int
set_peer (const struct peer_table *table, const struct ts_peer *peer)
{
  struct neighbour entry = { .family = AF_BRIDGE, .link = table->link, .address = htonl (peer->node_address) };
  const struct ipv4_route route = {
    .network = htonl (peer->network),
    .prefix = (int) peer->prefix,
    .gateway = htonl (peer->network),
    .source = table->source,
    .link = table->link,
    .onlink = true,
  };
  int err;

  mac_of_address (MAC_VXLAN, entry.address, entry.mac);
  err = set_neighbour (table->netlink, &entry);
  entry.family = AF_INET;
  entry.address = route.gateway;
  if (err == 0)
    err = set_neighbour (table->netlink, &entry);
  return err < 0 ? err : set_route (table->netlink, &route);
}

int
ts_network_set_peers (const char *vxlan, const char *source, const struct ts_peer *peers, uint32_t count,
                      struct ts_result *res)
{
  cleanup_netlink struct netlink netlink = NETLINK_CLOSED;
  struct peer_table table = { .netlink = &netlink, .peers = peers, .count = count };
  struct link_state link;
  struct in_addr address;
  int err;

  if (inet_pton (AF_INET, source, &address) != 1)
    return ts_fail (res, EINVAL, "parse address", "\"%s\"", source);
  table.source = address.s_addr;
  err = netlink_open (&netlink);
  if (err < 0)
    return ts_fail (res, -err, "open netlink socket", "%s", "");
  err = find_link (&netlink, vxlan, &link);
  if (err < 0)
    return ts_fail (res, -err, "find VXLAN device", "%s", vxlan);
  table.link = link.index;
  err = delete_all_stale (&table);
  if (err < 0)
    return ts_fail (res, -err, "remove peers", "of %s", vxlan);
  for (uint32_t i = 0; i < count; i++)
    {
      struct in_addr node = { htonl (peers[i].node_address) };
      char text[INET_ADDRSTRLEN];

      err = set_peer (&table, &peers[i]);
      if (err < 0)
        return ts_fail (res, -err, "set up peer", "node %s", inet_ntop (AF_INET, &node, text, sizeof text));
    }
  return 0;
}

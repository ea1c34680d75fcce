/* The node's part of the pod network.

     pod eth0 (address/32) === tsv... -- bridge (gateway address) -- routing -- vxlan -- other nodes
                                                                        |
                                                                  node device, masqueraded

   Ports are isolated: packets between pods of one node go through the node's routing as well, so that every packet
   of a pod passes the same place. Ports are locked: only frames from the pod's own MAC come in, which is derived from
   its address; that MAC and address belong together is checked by packet rules, so no pod can speak for another.

   Where bridges call the IP rules (br_netfilter), a packet of a pod to a port of the node that leads to a pod beside
   it, or to itself, is given its new destination within the bridge, which then sends it there as a frame instead of
   handing it to the routing. Ports of such pods are therefore open; that no pod sends them a frame by itself, the
   packet rules see to as well: they let none in that is not for the bridge. */
#include "lib/node-network.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/link.h"
#include "lib/pod-links.h"
#include "lib/result.h"
#include "lib/route.h"
#include "lib/sysctl.h"

enum
{
  VXLAN_OVERHEAD = 50,
  /* Dumps that began again because something changed meanwhile. */
  MAX_RESTARTS = 20,
};

/* ---- finding the node's device ---- */

struct address_search
{
  uint32_t address;
  int link;
};

static int
match_address (const struct ipv4_address *address, void *arg)
{
  struct address_search *search = arg;

  if (address->address == search->address)
    search->link = address->link;
  return 0;
}

struct link_search
{
  int index;
  struct link_state found;
};

static int
match_index (const struct link_state *link, void *arg)
{
  struct link_search *search = arg;

  if (link->index == search->index)
    search->found = *link;
  return 0;
}

static int
find_node_device (struct netlink *netlink, const struct ts_node_network *spec, uint32_t address, struct link_state *out,
                  struct ts_result *res)
{
  struct address_search by_address = { .address = address };
  struct link_search by_index = { 0 };
  int err;

  if (spec->node_device && *spec->node_device)
    {
      err = find_link (netlink, spec->node_device, out);
      return err < 0 ? ts_fail (res, -err, "find node device", "%s", spec->node_device) : 0;
    }
  err = for_each_address (netlink, match_address, &by_address);
  if (err == 0 && by_address.link == 0)
    return ts_fail (res, EADDRNOTAVAIL, "find node device", "no device has the address %s", spec->node_address);
  by_index.index = by_address.link;
  if (err == 0)
    err = for_each_link (netlink, match_index, &by_index);
  if (err == 0 && by_index.found.index == 0)
    err = -ENODEV;
  *out = by_index.found;
  return err < 0 ? ts_fail (res, -err, "find node device", "with address %s", spec->node_address) : 0;
}

/* ---- bridge ---- */

struct address_mend
{
  struct ipv4_address wanted;
  struct ipv4_address wrong;
  bool found;
};

static int
compare_address (const struct ipv4_address *address, void *arg)
{
  struct address_mend *mend = arg;

  if (address->link != mend->wanted.link)
    return 0;
  if (address->address == mend->wanted.address && address->prefix == mend->wanted.prefix)
    mend->found = true;
  else
    mend->wrong = *address;
  return 0;
}

/* The link has this address and no other one of IPv4. */
static int
ensure_only_address (struct netlink *netlink, const struct ipv4_address *wanted)
{
  for (int round = 0; round < MAX_RESTARTS; round++)
    {
      struct address_mend mend = { .wanted = *wanted };
      int err = for_each_address (netlink, compare_address, &mend);

      if (err == -EAGAIN)
        continue;
      if (err < 0)
        return err;
      if (mend.wrong.link)
        err = delete_address (netlink, &mend.wrong);
      else if (mend.found)
        return 0;
      else
        err = add_address (netlink, wanted);
      if (err < 0 && err != -EADDRNOTAVAIL)
        return err;
    }
  return -EAGAIN;
}

static int
find_or_make_bridge (struct netlink *netlink, const char *name, uint32_t mtu, const uint8_t mac[6],
                     struct link_state *out)
{
  int err = find_link (netlink, name, out);

  if (err == 0 && strcmp (out->kind, "bridge") != 0)
    {
      err = delete_link (netlink, out->index);
      if (err < 0)
        return err;
      err = -ENODEV;
    }
  if (err != -ENODEV)
    return err;
  err = make_bridge (netlink, name, mtu, mac);
  return err < 0 && err != -EEXIST ? err : find_link (netlink, name, out);
}

static int
ensure_bridge (struct netlink *netlink, const struct ts_node_network *spec, uint32_t address, uint32_t mtu,
               struct link_state *out)
{
  uint8_t mac[6];
  int err;

  mac_of_address (MAC_BRIDGE, address, mac);
  err = find_or_make_bridge (netlink, spec->bridge, mtu, mac, out);
  if (err == 0 && memcmp (out->mac, mac, sizeof mac) != 0)
    err = set_link_mac (netlink, out->index, mac);
  if (err == 0 && out->mtu != mtu)
    err = set_link_mtu (netlink, out->index, mtu);
  if (err == 0 && !out->up)
    err = set_link_up (netlink, out->index);
  if (err == 0)
    err = ensure_only_address (
        netlink, &(struct ipv4_address){ .address = address, .prefix = spec->prefix, .link = out->index });
  return err;
}

/* ---- VXLAN ---- */

static bool
is_same_vxlan (const struct link_state *link, const struct vxlan_spec *spec)
{
  return strcmp (link->kind, "vxlan") == 0 && link->vxlan.id == spec->id && link->vxlan.local == spec->local
         && link->vxlan.port == spec->port && !link->vxlan.learning && memcmp (link->mac, spec->mac, 6) == 0;
}

static int
ensure_vxlan (struct netlink *netlink, const struct vxlan_spec *spec)
{
  struct link_state link;
  int err = find_link (netlink, spec->name, &link);

  if (err == 0 && !is_same_vxlan (&link, spec))
    {
      err = delete_link (netlink, link.index);
      if (err < 0)
        return err;
      err = -ENODEV;
    }
  if (err == -ENODEV)
    {
      err = make_vxlan (netlink, spec);
      if (err == 0 || err == -EEXIST)
        err = find_link (netlink, spec->name, &link);
    }
  if (err == 0 && link.mtu != spec->mtu)
    err = set_link_mtu (netlink, link.index, spec->mtu);
  if (err == 0 && !link.up)
    err = set_link_up (netlink, link.index);
  return err;
}

/* ---- the node ---- */

static int
set_forwarding (const struct ts_node_network *spec, struct ts_result *res)
{
  char redirects[96], filter[96], ipv6[96], vxlan_filter[96], vxlan_ipv6[96];
  const struct sysctl sysctls[] = {
    { "net/ipv4/ip_forward", "1" },
    /* Pods of one node reach each other through it; it must not tell them of a shorter way. */
    { redirects, "0" },
    /* What comes from a pod's side has a pod's address. */
    { filter, "1" },
    { vxlan_filter, "1" },
    /* Pods have none, so what comes from them as IPv6 is not meant well. */
    { ipv6, "1" },
    { vxlan_ipv6, "1" },
    { NULL, NULL },
  };
  const char *fault;
  int err;

  snprintf (redirects, sizeof redirects, "net/ipv4/conf/%s/send_redirects", spec->bridge);
  snprintf (filter, sizeof filter, "net/ipv4/conf/%s/rp_filter", spec->bridge);
  /* A dot in a name stays: slashes separate here. */
  snprintf (vxlan_filter, sizeof vxlan_filter, "net/ipv4/conf/%s/rp_filter", spec->vxlan);
  snprintf (ipv6, sizeof ipv6, "net/ipv6/conf/%s/disable_ipv6", spec->bridge);
  snprintf (vxlan_ipv6, sizeof vxlan_ipv6, "net/ipv6/conf/%s/disable_ipv6", spec->vxlan);
  err = write_sysctls (sysctls, &fault);
  return err < 0 ? ts_fail (res, -err, "set kernel parameter", "%s", fault) : 0;
}

static int
parse_address (const char *text, uint32_t *address, struct ts_result *res)
{
  struct in_addr parsed;

  if (inet_pton (AF_INET, text, &parsed) != 1)
    return ts_fail (res, EINVAL, "parse address", "\"%s\"", text);
  *address = parsed.s_addr;
  return 0;
}

int
ts_network_ensure_node (const struct ts_node_network *spec, int32_t *mtu, struct ts_result *res)
{
  cleanup_netlink struct netlink netlink = NETLINK_CLOSED;
  struct link_state device, bridge;
  uint32_t node_address = 0, bridge_address = 0;
  struct vxlan_spec vxlan;
  int err = parse_address (spec->node_address, &node_address, res);

  if (err == 0)
    err = parse_address (spec->bridge_address, &bridge_address, res);
  if (err < 0)
    return err;
  err = netlink_open (&netlink);
  if (err < 0)
    return ts_fail (res, -err, "open netlink socket", "%s", "");
  err = find_node_device (&netlink, spec, node_address, &device, res);
  if (err < 0)
    return err;
  vxlan = (struct vxlan_spec){
    .name = spec->vxlan,
    .id = spec->vxlan_id,
    .port = (uint16_t) spec->vxlan_port,
    .local = node_address,
    .mtu = device.mtu - VXLAN_OVERHEAD,
  };
  mac_of_address (MAC_VXLAN, node_address, vxlan.mac);
  err = ensure_bridge (&netlink, spec, bridge_address, vxlan.mtu, &bridge);
  if (err < 0)
    return ts_fail (res, -err, "set up bridge", "%s with address %s", spec->bridge, spec->bridge_address);
  err = ensure_pod_links (&netlink, bridge.index);
  if (err < 0)
    return ts_fail (res, -err, "attach pods to bridge", "%s", spec->bridge);
  err = ensure_vxlan (&netlink, &vxlan);
  if (err < 0)
    return ts_fail (res, -err, "set up VXLAN device", "%s on %s with address %s", spec->vxlan, device.name,
                    spec->node_address);
  *mtu = (int32_t) vxlan.mtu;
  return set_forwarding (spec, res);
}

int
ts_network_remove_node (const char *bridge, const char *vxlan, struct ts_result *res)
{
  cleanup_netlink struct netlink netlink = NETLINK_CLOSED;
  const char *const names[] = { vxlan, bridge };
  struct link_state link;
  int err = netlink_open (&netlink);

  if (err == 0)
    err = delete_pod_links (&netlink);
  for (int i = 0; i < 2 && err == 0; i++)
    {
      err = find_link (&netlink, names[i], &link);
      if (err == 0)
        err = delete_link (&netlink, link.index);
      if (err == -ENODEV)
        err = 0;
    }
  return err < 0 ? ts_fail (res, -err, "remove network of node", "%s, %s", bridge, vxlan) : 0;
}

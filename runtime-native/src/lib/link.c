#include "lib/link.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_link.h>
#include <linux/ip.h>
#include <linux/neighbour.h>
#include <linux/veth.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

static struct ifinfomsg
any_link (int index)
{
  return (struct ifinfomsg){ .ifi_family = AF_UNSPEC, .ifi_index = index };
}

static void
read_vxlan (const struct rtattr *data, struct link_state *out)
{
  const struct rtattr *port = netlink_find_in (data, IFLA_VXLAN_PORT);
  const struct rtattr *learning = netlink_find_in (data, IFLA_VXLAN_LEARNING);
  uint16_t port_number = 0;

  out->vxlan.id = netlink_u32 (netlink_find_in (data, IFLA_VXLAN_ID));
  out->vxlan.local = netlink_u32 (netlink_find_in (data, IFLA_VXLAN_LOCAL));
  if (port && RTA_PAYLOAD (port) >= sizeof port_number)
    memcpy (&port_number, RTA_DATA (port), sizeof port_number);
  out->vxlan.port = ntohs (port_number);
  out->vxlan.learning = learning && RTA_PAYLOAD (learning) >= 1 && *(const uint8_t *) RTA_DATA (learning);
}

static int
read_link (const struct nlmsghdr *message, void *arg)
{
  struct link_state *out = arg;
  const struct ifinfomsg *info = NLMSG_DATA (message);
  const struct rtattr *mac, *details;

  if (message->nlmsg_type != RTM_NEWLINK || message->nlmsg_len < NLMSG_LENGTH (sizeof *info))
    return -EBADMSG;
  memset (out, 0, sizeof *out);
  mac = netlink_find (message, sizeof *info, IFLA_ADDRESS);
  details = netlink_find (message, sizeof *info, IFLA_LINKINFO);
  out->index = info->ifi_index;
  out->up = info->ifi_flags & IFF_UP;
  out->master = (int) netlink_u32 (netlink_find (message, sizeof *info, IFLA_MASTER));
  out->mtu = netlink_u32 (netlink_find (message, sizeof *info, IFLA_MTU));
  snprintf (out->name, sizeof out->name, "%s", netlink_string (netlink_find (message, sizeof *info, IFLA_IFNAME)));
  snprintf (out->alias, sizeof out->alias, "%s", netlink_string (netlink_find (message, sizeof *info, IFLA_IFALIAS)));
  snprintf (out->kind, sizeof out->kind, "%s", netlink_string (netlink_find_in (details, IFLA_INFO_KIND)));
  if (mac && RTA_PAYLOAD (mac) == sizeof out->mac)
    memcpy (out->mac, RTA_DATA (mac), sizeof out->mac);
  if (strcmp (out->kind, "vxlan") == 0)
    read_vxlan (netlink_find_in (details, IFLA_INFO_DATA), out);
  return 0;
}

int
find_link (struct netlink *netlink, const char *name, struct link_state *out)
{
  struct netlink_request request;
  struct ifinfomsg info = any_link (0);

  netlink_begin (&request, RTM_GETLINK, 0, &info, sizeof info);
  netlink_put_string (&request, IFLA_IFNAME, name);
  return netlink_get (netlink, &request, read_link, out);
}

/* The index alone, without the two kilobytes of counters that come along with everything else. */
int
find_link_index (const struct netlink *netlink, const char *name)
{
  struct ifreq request = { 0 };

  if (snprintf (request.ifr_name, sizeof request.ifr_name, "%s", name) >= (int) sizeof request.ifr_name)
    return -ENODEV;
  return ioctl (netlink->fd, SIOCGIFINDEX, &request) < 0 ? -errno : request.ifr_ifindex;
}

struct link_visitor
{
  visit_link visit;
  void *arg;
};

static int
visit_message (const struct nlmsghdr *message, void *arg)
{
  struct link_visitor *visitor = arg;
  struct link_state link;
  int err = read_link (message, &link);

  return err < 0 ? err : visitor->visit (&link, visitor->arg);
}

int
for_each_link (struct netlink *netlink, visit_link visit, void *arg)
{
  struct link_visitor visitor = { visit, arg };
  struct netlink_request request;
  struct ifinfomsg info = any_link (0);

  netlink_begin (&request, RTM_GETLINK, 0, &info, sizeof info);
  return netlink_dump (netlink, &request, visit_message, &visitor);
}

int
delete_link (struct netlink *netlink, int index)
{
  struct netlink_request request;
  struct ifinfomsg info = any_link (index);

  netlink_begin (&request, RTM_DELLINK, 0, &info, sizeof info);
  return netlink_talk (netlink, &request);
}

int
set_link_up (struct netlink *netlink, int index)
{
  struct netlink_request request;
  struct ifinfomsg info = any_link (index);

  info.ifi_flags = info.ifi_change = IFF_UP;
  netlink_begin (&request, RTM_NEWLINK, 0, &info, sizeof info);
  return netlink_talk (netlink, &request);
}

static int
set_attribute (struct netlink *netlink, int index, uint16_t type, const void *data, size_t size)
{
  struct netlink_request request;
  struct ifinfomsg info = any_link (index);

  netlink_begin (&request, RTM_NEWLINK, 0, &info, sizeof info);
  netlink_put (&request, type, data, size);
  return netlink_talk (netlink, &request);
}

int
set_link_mtu (struct netlink *netlink, int index, uint32_t mtu)
{
  return set_attribute (netlink, index, IFLA_MTU, &mtu, sizeof mtu);
}

int
set_link_mac (struct netlink *netlink, int index, const uint8_t mac[6])
{
  return set_attribute (netlink, index, IFLA_ADDRESS, mac, 6);
}

int
set_link_alias (struct netlink *netlink, int index, const char *alias)
{
  return set_attribute (netlink, index, IFLA_IFALIAS, alias, strlen (alias));
}

/* By a message and not through /proc/sys, where each new namespace has new files. */
int
set_arp_notify (struct netlink *netlink, int index)
{
  struct netlink_request request;
  struct ifinfomsg info = any_link (index);
  size_t families, family, settings;

  netlink_begin (&request, RTM_NEWLINK, 0, &info, sizeof info);
  families = netlink_begin_nest (&request, IFLA_AF_SPEC);
  family = netlink_begin_nest (&request, AF_INET);
  settings = netlink_begin_nest (&request, IFLA_INET_CONF);
  netlink_put_u32 (&request, IPV4_DEVCONF_ARP_NOTIFY, 1);
  netlink_end_nest (&request, settings);
  netlink_end_nest (&request, family);
  netlink_end_nest (&request, families);
  return netlink_talk (netlink, &request);
}

/* Its own IPv6 address would be of no use, and making one costs the kernel time. Without IPv6 there is nothing to do.
 */
static void
leave_without_ipv6 (struct netlink *netlink, int index)
{
  struct netlink_request request;
  struct ifinfomsg info = any_link (index);
  size_t families, family;

  netlink_begin (&request, RTM_NEWLINK, 0, &info, sizeof info);
  families = netlink_begin_nest (&request, IFLA_AF_SPEC);
  family = netlink_begin_nest (&request, AF_INET6);
  netlink_put_u8 (&request, IFLA_INET6_ADDR_GEN_MODE, IN6_ADDR_GEN_MODE_NONE);
  netlink_end_nest (&request, family);
  netlink_end_nest (&request, families);
  netlink_try (netlink, &request);
}

int
set_port_kind (struct netlink *netlink, int index, enum port_kind kind)
{
  struct netlink_request request;
  struct ifinfomsg info = any_link (index);
  size_t details, data;

  netlink_begin (&request, RTM_NEWLINK, 0, &info, sizeof info);
  details = netlink_begin_nest (&request, IFLA_LINKINFO);
  netlink_put_string (&request, IFLA_INFO_SLAVE_KIND, "bridge");
  data = netlink_begin_nest (&request, IFLA_INFO_SLAVE_DATA);
  netlink_put_u8 (&request, IFLA_BRPORT_ISOLATED, kind == PORT_ISOLATED);
  /* Whether what it sent may come back to it. */
  netlink_put_u8 (&request, IFLA_BRPORT_MODE, kind == PORT_OPEN);
  netlink_put_u8 (&request, IFLA_BRPORT_LEARNING, 0);
  /* Linux 5.18; older ones pass it over, and a pod may then send, but not receive, as another one. */
  netlink_put_u8 (&request, IFLA_BRPORT_LOCKED, 1);
  netlink_end_nest (&request, data);
  netlink_end_nest (&request, details);
  return netlink_talk (netlink, &request);
}

int
set_link_master (struct netlink *netlink, int index, int bridge, enum port_kind kind)
{
  struct netlink_request request;
  struct ifinfomsg info = any_link (index);
  int err;

  leave_without_ipv6 (netlink, index);
  netlink_begin (&request, RTM_NEWLINK, 0, &info, sizeof info);
  netlink_put_u32 (&request, IFLA_MASTER, (uint32_t) bridge);
  err = netlink_talk (netlink, &request);
  return err < 0 ? err : set_port_kind (netlink, index, kind);
}

int
pin_mac_to_port (struct netlink *netlink, int index, const uint8_t mac[6])
{
  /* Neither learnt nor forgotten; NUD_PERMANENT would say that the MAC is the bridge's own. */
  const struct ndmsg info
      = { .ndm_family = AF_BRIDGE, .ndm_ifindex = index, .ndm_state = NUD_NOARP, .ndm_flags = NTF_MASTER };
  struct netlink_request request;

  netlink_begin (&request, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, &info, sizeof info);
  netlink_put (&request, NDA_LLADDR, mac, 6);
  return netlink_talk (netlink, &request);
}

static void
begin_new_link (struct netlink_request *request, const char *name, uint32_t mtu, const uint8_t *mac)
{
  struct ifinfomsg info = any_link (0);

  netlink_begin (request, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &info, sizeof info);
  netlink_put_string (request, IFLA_IFNAME, name);
  netlink_put_u32 (request, IFLA_MTU, mtu);
  if (mac)
    netlink_put (request, IFLA_ADDRESS, mac, 6);
}

/* The address is set, so that it does not change with the bridge's ports: pods remember it as their gateway's. */
int
make_bridge (struct netlink *netlink, const char *name, uint32_t mtu, const uint8_t mac[6])
{
  struct netlink_request request;
  size_t details;

  begin_new_link (&request, name, mtu, mac);
  details = netlink_begin_nest (&request, IFLA_LINKINFO);
  netlink_put_string (&request, IFLA_INFO_KIND, "bridge");
  netlink_end_nest (&request, details);
  return netlink_talk (netlink, &request);
}

int
make_vxlan (struct netlink *netlink, const struct vxlan_spec *spec)
{
  struct netlink_request request;
  size_t details, data;

  begin_new_link (&request, spec->name, spec->mtu, spec->mac);
  details = netlink_begin_nest (&request, IFLA_LINKINFO);
  netlink_put_string (&request, IFLA_INFO_KIND, "vxlan");
  data = netlink_begin_nest (&request, IFLA_INFO_DATA);
  netlink_put_u32 (&request, IFLA_VXLAN_ID, spec->id);
  netlink_put_u32 (&request, IFLA_VXLAN_LOCAL, spec->local);
  netlink_put_u16 (&request, IFLA_VXLAN_PORT, htons (spec->port));
  netlink_put_u8 (&request, IFLA_VXLAN_LEARNING, 0);
  netlink_end_nest (&request, data);
  netlink_end_nest (&request, details);
  return netlink_talk (netlink, &request);
}

/* Without a number the kernel makes as many queues as the machine may have processors, and then takes all but one
   away again (veth_newlink). Each costs objects in sysfs. Told for one end only, both would keep what they have. */
static void
put_one_queue (struct netlink_request *request)
{
  netlink_put_u32 (request, IFLA_NUM_TX_QUEUES, 1);
  netlink_put_u32 (request, IFLA_NUM_RX_QUEUES, 1);
}

int
make_veth (struct netlink *netlink, const char *name, uint32_t mtu, int netns_fd)
{
  struct ifinfomsg peer_info = any_link (0);
  struct netlink_request request;
  size_t details, data, peer;

  begin_new_link (&request, name, mtu, NULL);
  put_one_queue (&request);
  details = netlink_begin_nest (&request, IFLA_LINKINFO);
  netlink_put_string (&request, IFLA_INFO_KIND, "veth");
  data = netlink_begin_nest (&request, IFLA_INFO_DATA);
  peer = netlink_begin_nest (&request, VETH_INFO_PEER);
  /* The peer's own message header comes before its attributes; it has the size of several whole attributes. */
  if (!request.overflown && request.header.nlmsg_len + NLMSG_ALIGN (sizeof peer_info) <= sizeof request.bytes)
    {
      memcpy (request.bytes + request.header.nlmsg_len, &peer_info, sizeof peer_info);
      request.header.nlmsg_len += (uint32_t) NLMSG_ALIGN (sizeof peer_info);
    }
  netlink_put_string (&request, IFLA_IFNAME, "eth0");
  netlink_put_u32 (&request, IFLA_MTU, mtu);
  put_one_queue (&request);
  netlink_put_u32 (&request, IFLA_NET_NS_FD, (uint32_t) netns_fd);
  netlink_end_nest (&request, peer);
  netlink_end_nest (&request, data);
  netlink_end_nest (&request, details);
  return netlink_talk (netlink, &request);
}

void
mac_of_address (uint8_t use, uint32_t address, uint8_t mac[6])
{
  /* The second lowest bit of the first byte says "locally administered". */
  mac[0] = 0x0a;
  mac[1] = use;
  memcpy (mac + 2, &address, sizeof address);
}

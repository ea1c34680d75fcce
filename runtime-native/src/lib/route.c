#include "lib/route.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <string.h>
#include <sys/socket.h>

enum
{
  /* Marks our routes in `ip route`: 84 is "T". */
  ROUTE_PROTOCOL = 84
};

/* ---- addresses ---- */

struct visitor
{
  union
  {
    visit_address address;
    visit_route route;
    visit_neighbour neighbour;
  };
  int link;
  int family;
  void *arg;
};

static int
visit_address_message (const struct nlmsghdr *message, void *arg)
{
  struct visitor *visitor = arg;
  const struct ifaddrmsg *info = NLMSG_DATA (message);
  const struct rtattr *local;
  struct ipv4_address address;

  if (message->nlmsg_type != RTM_NEWADDR || message->nlmsg_len < NLMSG_LENGTH (sizeof *info))
    return -EBADMSG;
  local = netlink_find (message, sizeof *info, IFA_LOCAL);
  if (info->ifa_family != AF_INET || !local)
    return 0;
  address = (struct ipv4_address){ netlink_u32 (local), info->ifa_prefixlen, (int) info->ifa_index };
  return visitor->address (&address, visitor->arg);
}

int
for_each_address (struct netlink *netlink, visit_address visit, void *arg)
{
  struct visitor visitor = { .address = visit, .arg = arg };
  struct ifaddrmsg info = { .ifa_family = AF_INET };
  struct netlink_request request;

  netlink_begin (&request, RTM_GETADDR, 0, &info, sizeof info);
  return netlink_dump (netlink, &request, visit_address_message, &visitor);
}

static int
change_address (struct netlink *netlink, uint16_t type, uint16_t flags, const struct ipv4_address *address)
{
  struct ifaddrmsg info = {
    .ifa_family = AF_INET,
    .ifa_prefixlen = (uint8_t) address->prefix,
    .ifa_index = (uint32_t) address->link,
  };
  struct netlink_request request;

  netlink_begin (&request, type, flags, &info, sizeof info);
  netlink_put_u32 (&request, IFA_LOCAL, address->address);
  netlink_put_u32 (&request, IFA_ADDRESS, address->address);
  return netlink_talk (netlink, &request);
}

int
add_address (struct netlink *netlink, const struct ipv4_address *address)
{
  return change_address (netlink, RTM_NEWADDR, NLM_F_CREATE | NLM_F_REPLACE, address);
}

int
delete_address (struct netlink *netlink, const struct ipv4_address *address)
{
  return change_address (netlink, RTM_DELADDR, 0, address);
}

/* ---- routes ---- */

static int
change_route (struct netlink *netlink, uint16_t type, uint16_t flags, const struct ipv4_route *route)
{
  struct rtmsg info = {
    .rtm_family = AF_INET,
    .rtm_dst_len = (uint8_t) route->prefix,
    .rtm_table = RT_TABLE_MAIN,
    .rtm_protocol = ROUTE_PROTOCOL,
    .rtm_scope = route->gateway ? RT_SCOPE_UNIVERSE : RT_SCOPE_LINK,
    .rtm_type = RTN_UNICAST,
    .rtm_flags = route->onlink ? RTNH_F_ONLINK : 0,
  };
  struct netlink_request request;

  if (type == RTM_DELROUTE)
    {
      /* Of whoever made it, and however. */
      info.rtm_protocol = RTPROT_UNSPEC;
      info.rtm_scope = RT_SCOPE_NOWHERE;
      info.rtm_flags = 0;
    }
  netlink_begin (&request, type, flags, &info, sizeof info);
  if (route->prefix > 0)
    netlink_put_u32 (&request, RTA_DST, route->network);
  if (route->gateway)
    netlink_put_u32 (&request, RTA_GATEWAY, route->gateway);
  if (route->source)
    netlink_put_u32 (&request, RTA_PREFSRC, route->source);
  netlink_put_u32 (&request, RTA_OIF, (uint32_t) route->link);
  return netlink_talk (netlink, &request);
}

int
set_route (struct netlink *netlink, const struct ipv4_route *route)
{
  return change_route (netlink, RTM_NEWROUTE, NLM_F_CREATE | NLM_F_REPLACE, route);
}

int
delete_route (struct netlink *netlink, const struct ipv4_route *route)
{
  return change_route (netlink, RTM_DELROUTE, 0, route);
}

static int
visit_route_message (const struct nlmsghdr *message, void *arg)
{
  struct visitor *visitor = arg;
  const struct rtmsg *info = NLMSG_DATA (message);
  struct ipv4_route route = { 0 };

  if (message->nlmsg_type != RTM_NEWROUTE || message->nlmsg_len < NLMSG_LENGTH (sizeof *info))
    return -EBADMSG;
  route.link = (int) netlink_u32 (netlink_find (message, sizeof *info, RTA_OIF));
  if (info->rtm_family != AF_INET || info->rtm_table != RT_TABLE_MAIN || route.link != visitor->link)
    return 0;
  route.prefix = info->rtm_dst_len;
  route.network = netlink_u32 (netlink_find (message, sizeof *info, RTA_DST));
  route.gateway = netlink_u32 (netlink_find (message, sizeof *info, RTA_GATEWAY));
  route.source = netlink_u32 (netlink_find (message, sizeof *info, RTA_PREFSRC));
  route.onlink = info->rtm_flags & RTNH_F_ONLINK;
  return visitor->route (&route, visitor->arg);
}

int
for_each_route (struct netlink *netlink, int link, visit_route visit, void *arg)
{
  struct visitor visitor = { .route = visit, .link = link, .arg = arg };
  struct rtmsg info = { .rtm_family = AF_INET, .rtm_table = RT_TABLE_MAIN };
  struct netlink_request request;

  netlink_begin (&request, RTM_GETROUTE, 0, &info, sizeof info);
  netlink_put_u32 (&request, RTA_OIF, (uint32_t) link);
  return netlink_dump (netlink, &request, visit_route_message, &visitor);
}

/* ---- neighbours ---- */

static int
change_neighbour (struct netlink *netlink, uint16_t type, uint16_t flags, const struct neighbour *neighbour)
{
  struct ndmsg info = {
    .ndm_family = (uint8_t) neighbour->family,
    .ndm_ifindex = neighbour->link,
    .ndm_state = NUD_PERMANENT,
    .ndm_flags = neighbour->family == AF_BRIDGE ? NTF_SELF : 0,
  };
  struct netlink_request request;

  netlink_begin (&request, type, flags, &info, sizeof info);
  netlink_put_u32 (&request, NDA_DST, neighbour->address);
  netlink_put (&request, NDA_LLADDR, neighbour->mac, sizeof neighbour->mac);
  return netlink_talk (netlink, &request);
}

int
set_neighbour (struct netlink *netlink, const struct neighbour *neighbour)
{
  return change_neighbour (netlink, RTM_NEWNEIGH, NLM_F_CREATE | NLM_F_REPLACE, neighbour);
}

int
delete_neighbour (struct netlink *netlink, const struct neighbour *neighbour)
{
  return change_neighbour (netlink, RTM_DELNEIGH, 0, neighbour);
}

static int
visit_neighbour_message (const struct nlmsghdr *message, void *arg)
{
  struct visitor *visitor = arg;
  const struct ndmsg *info = NLMSG_DATA (message);
  const struct rtattr *mac;
  struct neighbour neighbour = { 0 };

  if (message->nlmsg_type != RTM_NEWNEIGH || message->nlmsg_len < NLMSG_LENGTH (sizeof *info))
    return -EBADMSG;
  if (info->ndm_family != visitor->family || info->ndm_ifindex != visitor->link || !(info->ndm_state & NUD_PERMANENT))
    return 0;
  mac = netlink_find (message, sizeof *info, NDA_LLADDR);
  neighbour.family = info->ndm_family;
  neighbour.link = info->ndm_ifindex;
  neighbour.address = netlink_u32 (netlink_find (message, sizeof *info, NDA_DST));
  if (mac && RTA_PAYLOAD (mac) == sizeof neighbour.mac)
    memcpy (neighbour.mac, RTA_DATA (mac), sizeof neighbour.mac);
  return visitor->neighbour (&neighbour, visitor->arg);
}

int
for_each_neighbour (struct netlink *netlink, int family, int link, visit_neighbour visit, void *arg)
{
  struct visitor visitor = { .neighbour = visit, .family = family, .link = link, .arg = arg };
  struct ndmsg info = { .ndm_family = (uint8_t) family };
  struct netlink_request request;

  /* Bridges' entries are asked for by a header of another kind, in which the link's index stands. */
  if (family == AF_BRIDGE)
    info.ndm_ifindex = link;
  netlink_begin (&request, RTM_GETNEIGH, 0, &info, sizeof info);
  if (family != AF_BRIDGE)
    netlink_put_u32 (&request, NDA_IFINDEX, (uint32_t) link);
  return netlink_dump (netlink, &request, visit_neighbour_message, &visitor);
}

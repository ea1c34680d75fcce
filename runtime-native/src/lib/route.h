/* IPv4 addresses, routes, neighbours and forwarding entries. Addresses are in network order. 0 or -errno. */
#ifndef TS_ROUTE_H
#define TS_ROUTE_H

#include "lib/netlink.h"

struct ipv4_address
{
  uint32_t address;
  int prefix;
  int link; /* index */
};

typedef int (*visit_address) (const struct ipv4_address *address, void *arg);
int for_each_address (struct netlink *netlink, visit_address visit, void *arg);
int add_address (struct netlink *netlink, const struct ipv4_address *address);
int delete_address (struct netlink *netlink, const struct ipv4_address *address);

/* A route of ours; an existing one to the same network is replaced. */
struct ipv4_route
{
  uint32_t network;
  int prefix;
  uint32_t gateway; /* 0: none, the network is on the link */
  uint32_t source;  /* preferred address of the node's own packets, or 0 */
  int link;
  bool onlink; /* the gateway is reached over the link though no route says so */
};

int set_route (struct netlink *netlink, const struct ipv4_route *route);
int delete_route (struct netlink *netlink, const struct ipv4_route *route);
/* Routes over one link in the main table. */
typedef int (*visit_route) (const struct ipv4_route *route, void *arg);
int for_each_route (struct netlink *netlink, int link, visit_route visit, void *arg);

/* Who answers to an address on a link (family AF_INET), or behind which address a MAC is (AF_BRIDGE, for VXLAN). */
struct neighbour
{
  int family;
  int link;
  uint32_t address;
  uint8_t mac[6];
};

int set_neighbour (struct netlink *netlink, const struct neighbour *neighbour);
int delete_neighbour (struct netlink *netlink, const struct neighbour *neighbour);
/* Permanent ones of a family on one link. */
typedef int (*visit_neighbour) (const struct neighbour *neighbour, void *arg);
int for_each_neighbour (struct netlink *netlink, int family, int link, visit_neighbour visit, void *arg);

#endif

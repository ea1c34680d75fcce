/* Links of the namespace that the netlink socket is in. All return 0 or -errno unless said otherwise. */
#ifndef TS_LINK_H
#define TS_LINK_H

#include <net/if.h>

#include "lib/netlink.h"

struct link_state
{
  int index;
  int master; /* index of the bridge it is a port of, or 0 */
  uint32_t mtu;
  bool up;
  char name[IF_NAMESIZE];
  char kind[16];   /* "bridge", "veth", "" for a physical one */
  char alias[128]; /* what we wrote down about it */
  uint8_t mac[6];
  struct
  {
    uint32_t id;
    uint32_t local;
    uint16_t port;
    bool learning;
  } vxlan;
};

/* -ENODEV when there is none. */
int find_link (struct netlink *netlink, const char *name, struct link_state *out);
/* Returns the index, or -errno. */
int find_link_index (const struct netlink *netlink, const char *name);

typedef int (*visit_link) (const struct link_state *link, void *arg);
int for_each_link (struct netlink *netlink, visit_link visit, void *arg);

int delete_link (struct netlink *netlink, int index);
int set_link_up (struct netlink *netlink, int index);
int set_link_mtu (struct netlink *netlink, int index, uint32_t mtu);
int set_link_mac (struct netlink *netlink, int index, const uint8_t mac[6]);
int set_link_alias (struct netlink *netlink, int index, const char *alias);
/* The kernel tells the neighbours of the link's IPv4 addresses when it comes up, and when its MAC changes. */
int set_arp_notify (struct netlink *netlink, int index);
/* Which ports a port may send to, beside the bridge itself. */
enum port_kind
{
  PORT_ISOLATED, /* those that are not isolated */
  PORT_OPEN,     /* all, and itself */
};

/* Makes the link a port of the bridge from which only those frames come in whose sender `pin_mac_to_port` named. */
int set_link_master (struct netlink *netlink, int index, int bridge, enum port_kind kind);
/* Of a link that is such a port already. */
int set_port_kind (struct netlink *netlink, int index, enum port_kind kind);
int pin_mac_to_port (struct netlink *netlink, int index, const uint8_t mac[6]);

int make_bridge (struct netlink *netlink, const char *name, uint32_t mtu, const uint8_t mac[6]);

struct vxlan_spec
{
  const char *name;
  uint32_t id;
  uint16_t port;
  uint32_t local; /* address, network order */
  uint32_t mtu;
  uint8_t mac[6];
};

int make_vxlan (struct netlink *netlink, const struct vxlan_spec *spec);

/* A pair: `name` here, "eth0" in the namespace of netns_fd. The end here is down and no port yet. */
int make_veth (struct netlink *netlink, const char *name, uint32_t mtu, int netns_fd);

/* Locally administered, the same for everybody who knows the address: `use` tells apart what one address is used for.
 */
void mac_of_address (uint8_t use, uint32_t address, uint8_t mac[6]);

#endif

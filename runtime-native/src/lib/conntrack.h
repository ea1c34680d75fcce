#ifndef TS_CONNTRACK_H
#define TS_CONNTRACK_H

#include "lib/netlink.h"

/* A connection as the kernel tells of it; the attributes are the message's own. */
struct connection
{
  const struct rtattr *original; /* its ends, as its first packet had them */
  const struct rtattr *id;
  uint8_t protocol;
  uint32_t destination; /* of the first packet, in network order */
  uint16_t destination_port;
  uint32_t answers_from; /* in network order */
  bool is_redirected;    /* to another destination than the packet had */
};

/* False when the message tells of no connection. */
bool parse_connection (const struct nlmsghdr *message, struct connection *out);

#endif

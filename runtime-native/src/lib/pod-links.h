#ifndef TS_POD_LINKS_H
#define TS_POD_LINKS_H

#include "lib/netlink.h"

/* Puts all of them on the bridge, which may be new, as they should be there. 0 or -errno. */
int ensure_pod_links (struct netlink *netlink, int bridge);
int delete_pod_links (struct netlink *netlink);

#endif

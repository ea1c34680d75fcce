/* What the files about the node's network agree on. */
#ifndef TS_NODE_NETWORK_H
#define TS_NODE_NETWORK_H

/* The node's ends of the pods' devices have this prefix, by which they are known as ours. */
#define POD_LINK_PREFIX "tsv"

/* What a MAC address that is derived from an IPv4 address is used for. */
enum mac_use
{
  MAC_BRIDGE = 0x62,
  MAC_POD = 0x70,
  MAC_VXLAN = 0x76,
};

/* What is written down at a pod's device, as its alias, is "ID ADDRESS", and nothing while it is nobody's. This comes
   after it when ports of the node lead to the pod. */
#define POD_LINK_HOST_PORTS " host-ports"

#endif

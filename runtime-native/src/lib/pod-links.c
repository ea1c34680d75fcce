/* The node's ends of the pods' devices, all ports of the bridge. */
#include "lib/pod-links.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "lib/link.h"
#include "lib/node-network.h"
#include "lib/result.h"

enum
{
  /* Dumps that began again because something changed meanwhile. */
  MAX_RESTARTS = 20
};

struct port
{
  int index;
  enum port_kind kind;
  bool has_address;
  uint32_t address; /* of its pod */
};

struct port_list
{
  struct port *ports;
  int count;
  int capacity;
};

static bool
is_pod_link (const struct link_state *link)
{
  return strcmp (link->kind, "veth") == 0 && strncmp (link->name, POD_LINK_PREFIX, strlen (POD_LINK_PREFIX)) == 0;
}

static void
read_alias (const char *alias, struct port *port)
{
  const size_t suffix = strlen (POD_LINK_HOST_PORTS);
  const char *blank = strchr (alias, ' ');
  char text[INET_ADDRSTRLEN];
  struct in_addr address;
  size_t length;

  if (!blank)
    return;
  length = strlen (blank + 1);
  if (length > suffix && strcmp (blank + 1 + length - suffix, POD_LINK_HOST_PORTS) == 0)
    {
      port->kind = PORT_OPEN;
      length -= suffix;
    }
  if (snprintf (text, sizeof text, "%.*s", (int) length, blank + 1) >= (int) sizeof text)
    return;
  port->has_address = inet_pton (AF_INET, text, &address) == 1;
  port->address = port->has_address ? address.s_addr : 0;
}

static int
collect_port (const struct link_state *link, void *arg)
{
  struct port_list *list = arg;
  struct port port = { .index = link->index, .kind = PORT_ISOLATED };

  if (!is_pod_link (link))
    return 0;
  if (list->count == list->capacity)
    {
      int capacity = list->capacity ? list->capacity * 2 : 64;
      struct port *larger = realloc (list->ports, (size_t) capacity * sizeof *larger);

      if (!larger)
        return -ENOMEM;
      list->ports = larger;
      list->capacity = capacity;
    }
  read_alias (link->alias, &port);
  list->ports[list->count++] = port;
  return 0;
}

static int
collect_ports (struct netlink *netlink, struct port_list *list)
{
  int err = -EAGAIN;

  for (int round = 0; round < MAX_RESTARTS && err == -EAGAIN; round++)
    {
      list->count = 0;
      err = for_each_link (netlink, collect_port, list);
    }
  return err;
}

static int
ensure_port (struct netlink *netlink, const struct port *port, int bridge)
{
  uint8_t mac[6];
  int err = set_link_master (netlink, port->index, bridge, port->kind);

  if (err < 0 || !port->has_address)
    return err;
  mac_of_address (MAC_POD, port->address, mac);
  return pin_mac_to_port (netlink, port->index, mac);
}

/* All pods that there are, on a bridge that may be new. */
int
ensure_pod_links (struct netlink *netlink, int bridge)
{
  struct port_list list = { 0 };
  int err = collect_ports (netlink, &list);

  for (int i = 0; i < list.count && err == 0; i++)
    {
      err = ensure_port (netlink, &list.ports[i], bridge);
      /* Its pod ended meanwhile. */
      if (err == -ENODEV)
        err = 0;
    }
  free (list.ports);
  return err;
}

int
delete_pod_links (struct netlink *netlink)
{
  struct port_list list = { 0 };
  int err = collect_ports (netlink, &list);

  for (int i = 0; i < list.count && err == 0; i++)
    {
      err = delete_link (netlink, list.ports[i].index);
      if (err == -ENODEV)
        err = 0;
    }
  free (list.ports);
  return err;
}

struct link_text
{
  char *out;
  uint32_t size;
  uint32_t used;
};

static int
print_pod_link (const struct link_state *link, void *arg)
{
  struct link_text *text = arg;
  int length;

  if (!is_pod_link (link))
    return 0;
  length = snprintf (text->out + text->used, text->size - text->used, "%s %s\n", link->name, link->alias);
  if (length < 0 || (uint32_t) length >= text->size - text->used)
    return -ENOBUFS;
  text->used += (uint32_t) length;
  return 0;
}

int
ts_network_list_pod_links (char *out, uint32_t size, struct ts_result *res)
{
  cleanup_netlink struct netlink netlink = NETLINK_CLOSED;
  int err = netlink_open (&netlink);

  for (int round = 0; round < MAX_RESTARTS && err == 0; round++)
    {
      struct link_text text = { out, size, 0 };

      out[0] = '\0';
      err = for_each_link (&netlink, print_pod_link, &text);
      if (err != -EAGAIN)
        break;
      err = 0;
    }
  return err < 0 ? ts_fail (res, -err, "list devices of pods", "%s", "") : 0;
}

/* Connections as the kernel tells of them. */
#include <arpa/inet.h>
#include <linux/netfilter/nf_conntrack_common.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>

#include "lib/conntrack.h"
#include "test/check.h"

enum
{
  CLIENT = 0xcb007109,
  NODE = 0xc0000201,
  POD = 0x0a400102,
};

static void
put_tuple (struct netlink_request *request, uint16_t type, uint32_t source, uint32_t destination, uint16_t port)
{
  size_t tuple = netlink_begin_nest (request, type | NLA_F_NESTED);
  size_t part = netlink_begin_nest (request, CTA_TUPLE_IP | NLA_F_NESTED);

  netlink_put_u32 (request, CTA_IP_V4_SRC, htonl (source));
  netlink_put_u32 (request, CTA_IP_V4_DST, htonl (destination));
  netlink_end_nest (request, part);
  part = netlink_begin_nest (request, CTA_TUPLE_PROTO | NLA_F_NESTED);
  netlink_put_u8 (request, CTA_PROTO_NUM, IPPROTO_UDP);
  netlink_put_u16 (request, CTA_PROTO_DST_PORT, htons (port));
  netlink_end_nest (request, part);
  netlink_end_nest (request, tuple);
}

static void
make_message (struct netlink_request *request, uint32_t status)
{
  const struct nfgenmsg fixed = { .nfgen_family = AF_INET };

  netlink_begin (request, (NFNL_SUBSYS_CTNETLINK << 8) | IPCTNL_MSG_CT_NEW, 0, &fixed, sizeof fixed);
  put_tuple (request, CTA_TUPLE_ORIG, CLIENT, NODE, 8080);
  put_tuple (request, CTA_TUPLE_REPLY, POD, CLIENT, 40000);
  netlink_put_u32 (request, CTA_STATUS, htonl (status));
  netlink_put_u32 (request, CTA_ID, 7);
}

static void
test_a_connection_is_read (void)
{
  struct netlink_request request;
  struct connection connection;

  make_message (&request, IPS_CONFIRMED | IPS_DST_NAT);
  CHECK (parse_connection (&request.header, &connection));
  CHECK (connection.protocol == IPPROTO_UDP);
  CHECK (connection.destination == htonl (NODE));
  CHECK (connection.destination_port == 8080);
  CHECK (connection.answers_from == htonl (POD));
  CHECK (connection.is_redirected);
  CHECK (connection.original && connection.id);
  make_message (&request, IPS_CONFIRMED | IPS_SRC_NAT);
  CHECK (parse_connection (&request.header, &connection) && !connection.is_redirected);
}

static void
test_what_is_no_connection_is_none (void)
{
  const struct nfgenmsg fixed = { .nfgen_family = AF_INET };
  struct netlink_request request;
  struct connection connection;

  netlink_begin (&request, (NFNL_SUBSYS_CTNETLINK << 8) | IPCTNL_MSG_CT_NEW, 0, &fixed, sizeof fixed);
  CHECK (!parse_connection (&request.header, &connection));
  put_tuple (&request, CTA_TUPLE_ORIG, CLIENT, NODE, 8080);
  CHECK (!parse_connection (&request.header, &connection));
}

/* Nothing outside of a message may be read, whatever is in it (ASan sees it). */
static void
test_damaged_messages_are_read_safely (void)
{
  struct netlink_request sound;

  make_message (&sound, IPS_DST_NAT);
  for (uint32_t at = NLMSG_LENGTH (sizeof (struct nfgenmsg)); at < sound.header.nlmsg_len; at++)
    for (int value = 0; value < 256; value += 3)
      {
        uint8_t *copy = malloc (sound.header.nlmsg_len);
        struct connection connection;

        memcpy (copy, sound.bytes, sound.header.nlmsg_len);
        copy[at] = (uint8_t) value;
        parse_connection ((const void *) copy, &connection);
        free (copy);
      }
}

int
main (void)
{
  test_a_connection_is_read ();
  test_what_is_no_connection_is_none ();
  test_damaged_messages_are_read_safely ();
  return 0;
}

/* Requests that grow too large, and answers that are shorter than they say. */
#include <errno.h>
#include <sched.h>

#include "lib/link.h"
#include "lib/netlink.h"
#include "lib/route.h"
#include "test/check.h"

static void
test_a_request_never_outgrows_its_buffer (void)
{
  struct netlink_request request;
  const struct ifinfomsg info = { 0 };
  char name[300];
  size_t nest;

  memset (name, 'n', sizeof name - 1);
  name[sizeof name - 1] = '\0';
  netlink_begin (&request, RTM_NEWLINK, 0, &info, sizeof info);
  nest = netlink_begin_nest (&request, IFLA_LINKINFO);
  for (int i = 0; i < 100; i++)
    netlink_put_string (&request, IFLA_INFO_KIND, name);
  netlink_end_nest (&request, nest);
  CHECK (request.overflown);
  CHECK (request.header.nlmsg_len <= sizeof request.bytes);
  CHECK (netlink_talk (&(struct netlink){ .fd = -1 }, &request) == -E2BIG);
}

static void
test_attributes_are_found_where_they_are (void)
{
  struct netlink_request request;
  const struct ifinfomsg info = { .ifi_index = 7 };
  const struct rtattr *details;
  size_t nest;

  netlink_begin (&request, RTM_NEWLINK, 0, &info, sizeof info);
  netlink_put_string (&request, IFLA_IFNAME, "eth0");
  netlink_put_u32 (&request, IFLA_MTU, 1450);
  nest = netlink_begin_nest (&request, IFLA_LINKINFO);
  netlink_put_string (&request, IFLA_INFO_KIND, "veth");
  netlink_end_nest (&request, nest);
  CHECK_TEXT (netlink_string (netlink_find (&request.header, sizeof info, IFLA_IFNAME)), "eth0");
  CHECK (netlink_u32 (netlink_find (&request.header, sizeof info, IFLA_MTU)) == 1450);
  details = netlink_find (&request.header, sizeof info, IFLA_LINKINFO);
  CHECK_TEXT (netlink_string (netlink_find_in (details, IFLA_INFO_KIND)), "veth");
  CHECK (!netlink_find (&request.header, sizeof info, IFLA_MASTER));
  CHECK_TEXT (netlink_string (netlink_find_in (NULL, IFLA_INFO_KIND)), "");
  CHECK (netlink_u32 (NULL) == 0);
}

/* Each byte of a sound message is damaged in turn, and its length cut: nothing outside may be read (ASan sees it). */
static void
test_damaged_messages_are_read_safely (void)
{
  struct netlink_request sound, damaged;
  const struct ifinfomsg info = { .ifi_index = 7 };
  size_t nest;

  netlink_begin (&sound, RTM_NEWLINK, 0, &info, sizeof info);
  netlink_put (&sound, IFLA_IFNAME, "no end", 6);
  netlink_put_u8 (&sound, IFLA_MTU, 1);
  nest = netlink_begin_nest (&sound, IFLA_LINKINFO);
  netlink_put_string (&sound, IFLA_INFO_KIND, "vxlan");
  netlink_end_nest (&sound, nest);
  CHECK_TEXT (netlink_string (netlink_find (&sound.header, sizeof info, IFLA_IFNAME)), "");
  CHECK (netlink_u32 (netlink_find (&sound.header, sizeof info, IFLA_MTU)) == 0);
  for (uint32_t at = NLMSG_LENGTH (sizeof info); at < sound.header.nlmsg_len; at++)
    for (int value = 0; value < 256; value += 5)
      {
        /* On the heap and no longer than it is, so that one byte too many is noticed. */
        uint8_t *copy = malloc (sound.header.nlmsg_len);
        const struct nlmsghdr *message = (const void *) copy;

        memcpy (&damaged, &sound, sizeof sound);
        damaged.bytes[at] = (uint8_t) value;
        memcpy (copy, damaged.bytes, sound.header.nlmsg_len);
        for (uint16_t type = 0; type < 64; type++)
          {
            const struct rtattr *found = netlink_find (message, sizeof info, type);

            netlink_u32 (found);
            netlink_string (found);
            netlink_string (netlink_find_in (found, IFLA_INFO_KIND));
          }
        free (copy);
      }
}

static void
test_mac_addresses (void)
{
  const uint8_t address[4] = { 192, 0, 2, 7 };
  const uint8_t wanted[6] = { 0x0a, 0x76, 192, 0, 2, 7 };
  uint32_t number;
  uint8_t mac[6];

  memcpy (&number, address, sizeof number);
  mac_of_address (0x76, number, mac);
  CHECK (memcmp (mac, wanted, sizeof mac) == 0);
  CHECK ((mac[0] & 1) == 0 && (mac[0] & 2) != 0);
}

static void
test_a_batch_never_outgrows_its_buffer (void)
{
  struct netlink netlink = { .fd = -1 };
  struct netlink_batch batch;
  char alias[200] = "";
  int err = 0;
  int count = 0;

  memset (alias, 'a', sizeof alias - 1);
  netlink_collect (&netlink, &batch);
  for (; err == 0 && count < 100; count++)
    err = set_link_alias (&netlink, 7, alias);
  CHECK (err == -E2BIG);
  CHECK (count > 2 && count < 20);
  CHECK (batch.used <= sizeof batch.bytes);
}

/* In a namespace of its own, where only lo is, with index 1. */
static void
test_a_batch_fails_by_what_may_not_fail (void)
{
  struct netlink netlink;
  struct netlink_batch batch;
  struct netlink_request request;
  struct link_state lo;
  const struct ifinfomsg nobody = { .ifi_index = 4711 };

  CHECK (unshare (CLONE_NEWNET) == 0);
  CHECK (netlink_open (&netlink) == 0);
  CHECK (find_link_index (&netlink, "lo") == 1);
  CHECK (find_link_index (&netlink, "nobody") == -ENODEV);
  CHECK (find_link_index (&netlink, "a-name-that-no-link-may-have") == -ENODEV);

  netlink_collect (&netlink, &batch);
  CHECK (set_link_alias (&netlink, 1, "mine") == 0);
  netlink_begin (&request, RTM_NEWLINK, 0, &nobody, sizeof nobody);
  netlink_try (&netlink, &request);
  CHECK (set_link_up (&netlink, 1) == 0);
  CHECK (netlink_send_collected (&netlink) == 0);
  CHECK (find_link (&netlink, "lo", &lo) == 0);
  CHECK (lo.up);
  CHECK_TEXT (lo.alias, "mine");

  netlink_collect (&netlink, &batch);
  CHECK (set_link_up (&netlink, 4711) == 0);
  CHECK (set_link_alias (&netlink, 4712, "nobody") == 0);
  CHECK (set_link_alias (&netlink, 1, "still mine") == 0);
  CHECK (netlink_send_collected (&netlink) == -ENODEV);
  /* Answers to the batch are not taken for those of what comes next. */
  CHECK (find_link (&netlink, "lo", &lo) == 0);
  CHECK_TEXT (lo.alias, "still mine");

  netlink_collect (&netlink, &batch);
  CHECK (set_link_up (&netlink, 4711) == 0);
  CHECK (netlink_send_collected (&netlink) == -ENODEV);
  netlink_collect (&netlink, &batch);
  CHECK (netlink_send_collected (&netlink) == 0);
  netlink_close (&netlink);
}

int
main (void)
{
  test_a_request_never_outgrows_its_buffer ();
  test_attributes_are_found_where_they_are ();
  test_damaged_messages_are_read_safely ();
  test_mac_addresses ();
  test_a_batch_never_outgrows_its_buffer ();
  test_a_batch_fails_by_what_may_not_fail ();
  return 0;
}

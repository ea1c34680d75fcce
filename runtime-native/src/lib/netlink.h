/* rtnetlink, and nfnetlink for connections: requests put together in a buffer, sent over one socket, each answer
   checked for sender, sequence and error. */
#ifndef TS_NETLINK_H
#define TS_NETLINK_H

#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct netlink_batch;

struct netlink
{
  int fd;
  uint32_t port; /* this socket's own address */
  uint32_t sequence;
  struct netlink_batch *batch; /* NULL: requests are sent at once */
};

/* One request. Writing beyond its end only sets `overflown`, which sending reports. */
struct netlink_request
{
  union
  {
    struct nlmsghdr header;
    uint8_t bytes[2048];
  };
  bool overflown;
};

/* Opens a socket in the calling thread's network namespace; it stays there whoever uses it. 0 or -errno. */
int netlink_open (struct netlink *netlink);
/* The same for what netfilter keeps. */
int netlink_open_netfilter (struct netlink *netlink);
/* With a socket that somebody else opened and closes. */
int netlink_use (struct netlink *netlink, int fd);
void netlink_close (struct netlink *netlink);

#define cleanup_netlink __attribute__ ((cleanup (netlink_close)))
#define NETLINK_CLOSED \
  {                    \
    .fd = -1           \
  }

/* Starts a request of a type (RTM_NEWLINK, ...) with its fixed part. */
void netlink_begin (struct netlink_request *request, uint16_t type, uint16_t flags, const void *fixed, size_t size);
void netlink_put (struct netlink_request *request, uint16_t type, const void *data, size_t size);
void netlink_put_u8 (struct netlink_request *request, uint16_t type, uint8_t value);
void netlink_put_u16 (struct netlink_request *request, uint16_t type, uint16_t value);
void netlink_put_u32 (struct netlink_request *request, uint16_t type, uint32_t value);
void netlink_put_string (struct netlink_request *request, uint16_t type, const char *text);
/* Nested attributes; `begin` returns what `end` wants. */
size_t netlink_begin_nest (struct netlink_request *request, uint16_t type);
void netlink_end_nest (struct netlink_request *request, size_t nest);

/* Sends a request and waits for the kernel's answer: 0 or the kernel's -errno. */
int netlink_talk (struct netlink *netlink, struct netlink_request *request);
/* The same for a request that older kernels refuse, and that nothing depends on. */
void netlink_try (struct netlink *netlink, struct netlink_request *request);

/* Requests that the kernel gets by one call and answers by one message if nothing fails. */
struct netlink_batch
{
  _Alignas(struct nlmsghdr) uint8_t bytes[2048];
  size_t used;
  uint32_t first; /* sequence number of the first request */
  uint32_t count;
  uint32_t tried; /* bit N: request N may fail */
};

/* From now on `netlink_talk` and `netlink_try` only collect: they return 0, or -E2BIG when there is no room. */
void netlink_collect (struct netlink *netlink, struct netlink_batch *batch);
/* Sends what was collected: 0, or the kernel's first -errno. The requests behind a failed one are done nevertheless. */
int netlink_send_collected (struct netlink *netlink);

/* Called for each message of a dump; a negative result ends it. */
typedef int (*netlink_visit) (const struct nlmsghdr *message, void *arg);

/* Sends a dump request; -EAGAIN when what was dumped changed meanwhile: begin again. */
int netlink_dump (struct netlink *netlink, struct netlink_request *request, netlink_visit visit, void *arg);

/* Sends a request that is answered by one message, and calls `visit` with it. */
int netlink_get (struct netlink *netlink, struct netlink_request *request, netlink_visit visit, void *arg);

/* Attribute `type` of a message whose fixed part has `fixed` bytes, or NULL. */
const struct rtattr *netlink_find (const struct nlmsghdr *message, size_t fixed, uint16_t type);
const struct rtattr *netlink_find_in (const struct rtattr *nest, uint16_t type);
/* 0 when the attribute is absent or short. */
uint32_t netlink_u32 (const struct rtattr *attribute);
/* "" when the attribute is absent. Always ends within the attribute. */
const char *netlink_string (const struct rtattr *attribute);

#endif

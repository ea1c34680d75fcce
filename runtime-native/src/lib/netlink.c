#include "lib/netlink.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum
{
  RECEIVE_SIZE = 32 * 1024
};

int
netlink_use (struct netlink *netlink, int fd)
{
  struct sockaddr_nl address;
  socklen_t length = sizeof address;

  if (getsockname (fd, (struct sockaddr *) &address, &length) < 0)
    return -errno;
  *netlink = (struct netlink){ .fd = fd, .port = address.nl_pid };
  return 0;
}

static int
open_socket (struct netlink *netlink, int family)
{
  const struct sockaddr_nl address = { .nl_family = AF_NETLINK };
  const int on = 1;
  int err;

  netlink->fd = socket (AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, family);
  if (netlink->fd < 0)
    return -errno;
  /* Answers to failed requests need not repeat them; dumps are filtered by the kernel, where it knows how. */
  setsockopt (netlink->fd, SOL_NETLINK, NETLINK_CAP_ACK, &on, sizeof on);
  setsockopt (netlink->fd, SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof on);
  err = bind (netlink->fd, (const struct sockaddr *) &address, sizeof address) < 0 ? -errno
                                                                                   : netlink_use (netlink, netlink->fd);
  if (err < 0)
    netlink_close (netlink);
  return err;
}

int
netlink_open (struct netlink *netlink)
{
  return open_socket (netlink, NETLINK_ROUTE);
}

int
netlink_open_netfilter (struct netlink *netlink)
{
  return open_socket (netlink, NETLINK_NETFILTER);
}

void
netlink_close (struct netlink *netlink)
{
  int saved = errno;

  if (netlink->fd >= 0)
    close (netlink->fd);
  netlink->fd = -1;
  errno = saved;
}

/* ---- requests ---- */

void
netlink_begin (struct netlink_request *request, uint16_t type, uint16_t flags, const void *fixed, size_t size)
{
  memset (&request->header, 0, NLMSG_HDRLEN);
  request->overflown = NLMSG_SPACE (size) > sizeof request->bytes;
  request->header.nlmsg_len = (uint32_t) NLMSG_LENGTH (size);
  request->header.nlmsg_type = type;
  request->header.nlmsg_flags = (uint16_t) (NLM_F_REQUEST | flags);
  if (!request->overflown)
    memcpy (request->bytes + NLMSG_HDRLEN, fixed, size);
}

void
netlink_put (struct netlink_request *request, uint16_t type, const void *data, size_t size)
{
  size_t at = NLMSG_ALIGN (request->header.nlmsg_len);
  struct rtattr *attribute = (struct rtattr *) (void *) (request->bytes + at);

  if (request->overflown || at + RTA_SPACE (size) > sizeof request->bytes)
    {
      request->overflown = true;
      return;
    }
  memset (attribute, 0, RTA_SPACE (size));
  attribute->rta_type = type;
  attribute->rta_len = (uint16_t) RTA_LENGTH (size);
  if (size > 0)
    memcpy (RTA_DATA (attribute), data, size);
  request->header.nlmsg_len = (uint32_t) (at + RTA_SPACE (size));
}

void
netlink_put_u8 (struct netlink_request *request, uint16_t type, uint8_t value)
{
  netlink_put (request, type, &value, sizeof value);
}

void
netlink_put_u16 (struct netlink_request *request, uint16_t type, uint16_t value)
{
  netlink_put (request, type, &value, sizeof value);
}

void
netlink_put_u32 (struct netlink_request *request, uint16_t type, uint32_t value)
{
  netlink_put (request, type, &value, sizeof value);
}

void
netlink_put_string (struct netlink_request *request, uint16_t type, const char *text)
{
  netlink_put (request, type, text, strlen (text) + 1);
}

size_t
netlink_begin_nest (struct netlink_request *request, uint16_t type)
{
  size_t nest = NLMSG_ALIGN (request->header.nlmsg_len);

  netlink_put (request, type, NULL, 0);
  return nest;
}

void
netlink_end_nest (struct netlink_request *request, size_t nest)
{
  struct rtattr *attribute = (struct rtattr *) (void *) (request->bytes + nest);

  if (!request->overflown)
    attribute->rta_len = (uint16_t) (request->header.nlmsg_len - nest);
}

/* ---- answers ---- */

static int
send_bytes (struct netlink *netlink, const void *bytes, size_t size)
{
  const struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
  ssize_t sent;

  do
    sent = sendto (netlink->fd, bytes, size, 0, (const struct sockaddr *) &kernel, sizeof kernel);
  while (sent < 0 && errno == EINTR);
  return sent < 0 ? -errno : 0;
}

static int
address_request (struct netlink *netlink, struct netlink_request *request)
{
  if (request->overflown)
    return -E2BIG;
  request->header.nlmsg_seq = ++netlink->sequence;
  request->header.nlmsg_pid = netlink->port;
  return 0;
}

static int
send_request (struct netlink *netlink, struct netlink_request *request)
{
  int err = address_request (netlink, request);

  return err < 0 ? err : send_bytes (netlink, request->bytes, request->header.nlmsg_len);
}

static ssize_t
receive (struct netlink *netlink, void *buffer, size_t size)
{
  for (;;)
    {
      struct sockaddr_nl sender;
      struct iovec vector = { .iov_base = buffer, .iov_len = size };
      struct msghdr message
          = { .msg_name = &sender, .msg_namelen = sizeof sender, .msg_iov = &vector, .msg_iovlen = 1 };
      ssize_t length = recvmsg (netlink->fd, &message, 0);

      if (length < 0 && errno == EINTR)
        continue;
      if (length < 0)
        return -errno;
      if (message.msg_flags & MSG_TRUNC)
        return -EMSGSIZE;
      /* Any process may send to our address; only the kernel has port 0. */
      if (message.msg_namelen == sizeof sender && sender.nl_pid == 0)
        return length;
    }
}

struct answer
{
  netlink_visit visit;
  void *arg;
  bool wants_ack; /* after what is visited, an error message with 0 follows */
  bool interrupted;
};

/* 1: the answer is complete, 0: more follows, negative: an error. */
static int
take_message (struct netlink *netlink, const struct nlmsghdr *message, struct answer *answer)
{
  const struct nlmsgerr *error = NLMSG_DATA (message);

  /* Of an earlier request that was given up. */
  if (message->nlmsg_seq != netlink->sequence || message->nlmsg_pid != netlink->port)
    return 0;
  if (message->nlmsg_flags & NLM_F_DUMP_INTR)
    answer->interrupted = true;
  switch (message->nlmsg_type)
    {
    case NLMSG_NOOP:
      return 0;
    case NLMSG_ERROR:
      if (message->nlmsg_len < NLMSG_LENGTH (sizeof error->error))
        return -EBADMSG;
      return error->error < 0 ? error->error : 1;
    case NLMSG_DONE:
      if (message->nlmsg_len >= NLMSG_LENGTH (sizeof error->error) && error->error < 0)
        return error->error;
      return 1;
    case NLMSG_OVERRUN:
      return -ENOBUFS;
    default:
      if (answer->visit)
        {
          int err = answer->visit (message, answer->arg);

          if (err < 0)
            return err;
        }
      return message->nlmsg_flags & NLM_F_MULTI || answer->wants_ack ? 0 : 1;
    }
}

static int
receive_answer (struct netlink *netlink, struct answer *answer)
{
  _Alignas(struct nlmsghdr) uint8_t buffer[RECEIVE_SIZE];
  int failure = 0;

  for (;;)
    {
      ssize_t length = receive (netlink, buffer, sizeof buffer);
      size_t left = (size_t) length;

      if (length < 0)
        return (int) length;
      for (const struct nlmsghdr *message = (const void *) buffer; NLMSG_OK (message, left);
           message = NLMSG_NEXT (message, left))
        {
          int state = take_message (netlink, message, answer);

          /* A visitor's error ends the visits; the rest of a dump is dropped with the socket's next request. */
          if (state < 0 && failure == 0)
            failure = state;
          if (state != 0)
            return failure < 0 ? failure : answer->interrupted ? -EAGAIN : 0;
        }
    }
}

/* ---- batches ---- */

void
netlink_collect (struct netlink *netlink, struct netlink_batch *batch)
{
  batch->used = 0;
  batch->first = netlink->sequence + 1;
  batch->count = 0;
  batch->tried = 0;
  netlink->batch = batch;
}

static int
collect (struct netlink *netlink, struct netlink_request *request, bool may_fail)
{
  struct netlink_batch *batch = netlink->batch;
  size_t size = NLMSG_ALIGN (request->header.nlmsg_len);
  int err
      = size > sizeof batch->bytes - batch->used || batch->count == 32 ? -E2BIG : address_request (netlink, request);

  if (err < 0)
    return err;
  memcpy (batch->bytes + batch->used, request->bytes, size);
  batch->used += size;
  batch->tried |= (uint32_t) may_fail << batch->count++;
  return 0;
}

/* Nothing but the answers to the batch: each failed request has one, and the last one in any case. Returns 1 with the
   last one. */
static int
take_answer (const struct netlink *netlink, const struct netlink_batch *batch, const struct nlmsghdr *message,
             int *failure)
{
  const struct nlmsgerr *error = NLMSG_DATA (message);
  uint32_t index = message->nlmsg_seq - batch->first;

  if (index >= batch->count || message->nlmsg_pid != netlink->port)
    return 0;
  if (message->nlmsg_type != NLMSG_ERROR || message->nlmsg_len < NLMSG_LENGTH (sizeof error->error))
    return -EBADMSG;
  if (error->error < 0 && *failure == 0 && !(batch->tried >> index & 1))
    *failure = error->error;
  return index == batch->count - 1;
}

static int
receive_answers (struct netlink *netlink, const struct netlink_batch *batch)
{
  _Alignas(struct nlmsghdr) uint8_t buffer[RECEIVE_SIZE];
  int failure = 0;

  for (;;)
    {
      ssize_t length = receive (netlink, buffer, sizeof buffer);
      size_t left = (size_t) length;

      if (length < 0)
        return (int) length;
      for (const struct nlmsghdr *message = (const void *) buffer; NLMSG_OK (message, left);
           message = NLMSG_NEXT (message, left))
        {
          int state = take_answer (netlink, batch, message, &failure);

          if (state != 0)
            return state < 0 ? state : failure;
        }
    }
}

int
netlink_send_collected (struct netlink *netlink)
{
  struct netlink_batch *batch = netlink->batch;
  struct nlmsghdr *last = NULL;
  int err;

  netlink->batch = NULL;
  if (batch->count == 0)
    return 0;
  for (size_t at = 0; at < batch->used; at += NLMSG_ALIGN (last->nlmsg_len))
    last = (struct nlmsghdr *) (void *) (batch->bytes + at);
  last->nlmsg_flags |= NLM_F_ACK;
  err = send_bytes (netlink, batch->bytes, batch->used);
  return err < 0 ? err : receive_answers (netlink, batch);
}

void
netlink_try (struct netlink *netlink, struct netlink_request *request)
{
  if (netlink->batch)
    collect (netlink, request, true);
  else
    netlink_talk (netlink, request);
}

int
netlink_talk (struct netlink *netlink, struct netlink_request *request)
{
  struct answer answer = { .wants_ack = true };
  int err;

  if (netlink->batch)
    return collect (netlink, request, false);
  request->header.nlmsg_flags |= NLM_F_ACK;
  err = send_request (netlink, request);
  return err < 0 ? err : receive_answer (netlink, &answer);
}

int
netlink_dump (struct netlink *netlink, struct netlink_request *request, netlink_visit visit, void *arg)
{
  struct answer answer = { .visit = visit, .arg = arg };
  int err;

  request->header.nlmsg_flags |= NLM_F_DUMP;
  err = send_request (netlink, request);
  return err < 0 ? err : receive_answer (netlink, &answer);
}

int
netlink_get (struct netlink *netlink, struct netlink_request *request, netlink_visit visit, void *arg)
{
  struct answer answer = { .visit = visit, .arg = arg };
  int err = send_request (netlink, request);

  return err < 0 ? err : receive_answer (netlink, &answer);
}

/* ---- attributes ---- */

static const struct rtattr *
find_among (const struct rtattr *attribute, size_t left, uint16_t type)
{
  for (; RTA_OK (attribute, left); attribute = RTA_NEXT (attribute, left))
    if ((attribute->rta_type & NLA_TYPE_MASK) == type)
      return attribute;
  return NULL;
}

const struct rtattr *
netlink_find (const struct nlmsghdr *message, size_t fixed, uint16_t type)
{
  size_t start = NLMSG_SPACE (fixed);

  if (message->nlmsg_len < start)
    return NULL;
  return find_among ((const void *) ((const uint8_t *) message + start), message->nlmsg_len - start, type);
}

const struct rtattr *
netlink_find_in (const struct rtattr *nest, uint16_t type)
{
  return nest ? find_among (RTA_DATA (nest), RTA_PAYLOAD (nest), type) : NULL;
}

uint32_t
netlink_u32 (const struct rtattr *attribute)
{
  uint32_t value = 0;

  if (attribute && RTA_PAYLOAD (attribute) >= sizeof value)
    memcpy (&value, RTA_DATA (attribute), sizeof value);
  return value;
}

const char *
netlink_string (const struct rtattr *attribute)
{
  if (!attribute || !memchr (RTA_DATA (attribute), '\0', RTA_PAYLOAD (attribute)))
    return "";
  return RTA_DATA (attribute);
}

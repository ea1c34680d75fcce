/* How a child that sets a container or an exec up tells the shim what became of it: one SOCK_SEQPACKET socket, which
   execve closes. Every message carries the sender's pid as the shim sees it. */
#ifndef TS_CHANNEL_H
#define TS_CHANNEL_H

#include <sys/types.h>

#include "container/failure.h"

enum ts_report_kind
{
  TS_REPORT_READY = 1,    /* only execve is left */
  TS_REPORT_TERMINAL = 2, /* with the terminal's controlling side as descriptor */
  TS_REPORT_FAILED = 3,
  TS_REPORT_PROCESS = 4, /* another process goes on, `pid` */
};

struct ts_report
{
  int32_t kind;
  int32_t pid; /* of TS_REPORT_PROCESS, as the sender sees it */
  struct ts_failure failure;
};

/* Makes the pair: [0] is the shim's, which does not block. */
int ts_channel_open (int ends[2]);

/* fd is -1 for none. Returns 0 or -errno; -EPIPE when the shim is gone. */
int ts_channel_send (int channel, enum ts_report_kind kind, const struct ts_failure *failure, int fd);

/* The sender must see the process by the same number as the shim. Returns 0 or -errno. */
int ts_channel_send_process (int channel, pid_t pid);

/* Returns 1 and fills all, 0 at the end, or -errno (-EAGAIN: nothing yet). *fd is -1 when none came. */
int ts_channel_receive (int channel, struct ts_report *report, pid_t *sender, int *fd);

#endif

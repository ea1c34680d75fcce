#ifndef TS_SECCOMP_EXPORT_H
#define TS_SECCOMP_EXPORT_H

#include <linux/filter.h>
#include <seccomp.h>
#include <stdint.h>

/* Writes the filter as the kernel takes it; *size is the room in bytes, then what was used. Returns 0 or -errno:
   -E2BIG when it has more instructions than the kernel allows, -ENOBUFS without room. */
int ts_export_filter (scmp_filter_ctx filter, struct sock_filter *out, uint32_t *size);

#endif

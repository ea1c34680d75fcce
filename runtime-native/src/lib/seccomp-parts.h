#ifndef TS_SECCOMP_PARTS_H
#define TS_SECCOMP_PARTS_H

#include <linux/filter.h>
#include <stddef.h>

enum filter_part
{
  FILTER_WHOLE,
  FILTER_BY_ARGUMENTS, /* right only for calls of which the whole looks at the arguments */
};

/* The default filter as libseccomp makes it. Returns the number of instructions, or -errno. */
int build_default_filter (enum filter_part part, const char *const *capabilities, struct sock_filter *out, size_t room);

#endif

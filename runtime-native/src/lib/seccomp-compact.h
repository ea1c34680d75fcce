#ifndef TS_SECCOMP_COMPACT_H
#define TS_SECCOMP_COMPACT_H

#include <linux/filter.h>
#include <stddef.h>
#include <stdint.h>

struct filter_program
{
  const struct sock_filter *instructions;
  size_t length;
};

/* A program that decides as `whole` does for every system call and architecture, made to be loaded quickly: the kernel
   translates each filter once per container, and a search among ranges of numbers takes a quarter of the instructions
   of a tree with a leaf for each number.
   `rest` must decide as `whole` does for those calls whose arguments matter; it becomes the end of the program.
   `architectures` are all that `whole` tells apart. Returns the length in instructions; -ENOBUFS without room, -E2BIG
   when a search would be too long for the kernel's jumps, -ENOTSUP when `whole` does more with the number of a call
   than to compare it. */
int ts_compact_filter (struct filter_program whole, struct filter_program rest, const uint32_t *architectures,
                       size_t architecture_count, struct sock_filter *out, size_t room);

#endif

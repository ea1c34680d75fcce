/* Small files: whole reads and writes, and descriptors that close themselves. */
#pragma once

#include <stddef.h>
#include <sys/types.h>
#include <unistd.h>

static inline void
close_fd (const int *fd)
{
  if (*fd >= 0)
    close (*fd);
}

#define cleanup_close __attribute__ ((cleanup (close_fd)))

/* Reads at most size - 1 bytes and ends them with NUL. Returns the length, or -1 with errno. */
ssize_t file_read_at (int dirfd, const char *path, char *buffer, size_t size);

/* Writes text in one write(2), as the kernel's control files want it. Returns 0, or -1 with errno. */
int file_write_at (int dirfd, const char *path, const char *text);

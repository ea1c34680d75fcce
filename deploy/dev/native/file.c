#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

ssize_t
file_read_at (int dirfd, const char *path, char *buffer, size_t size)
{
  cleanup_close int fd = openat (dirfd, path, O_RDONLY | O_CLOEXEC);
  if (fd < 0)
    return -1;
  size_t length = 0;
  while (length < size - 1)
    {
      ssize_t got = read (fd, buffer + length, size - 1 - length);
      if (got < 0 && errno == EINTR)
        continue;
      if (got < 0)
        return -1;
      if (got == 0)
        break;
      length += (size_t)got;
    }
  buffer[length] = '\0';
  return (ssize_t)length;
}

int
file_write_at (int dirfd, const char *path, const char *text)
{
  cleanup_close int fd = openat (dirfd, path, O_WRONLY | O_CLOEXEC);
  if (fd < 0)
    return -1;
  size_t length = strlen (text);
  ssize_t written = write (fd, text, length);
  if (written < 0)
    return -1;
  if ((size_t)written != length)
    {
      errno = EIO;
      return -1;
    }
  return 0;
}

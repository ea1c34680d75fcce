#include "lib/text-file.h"

#include <errno.h>
#include <fcntl.h>

#include "lib/cleanup.h"

int
read_text_file (int dirfd, const char *path, char **text)
{
  cleanup_close int fd = openat (dirfd, path, O_RDONLY | O_CLOEXEC);
  cleanup_free char *buffer = NULL;
  size_t size = 0, used = 0;

  if (fd < 0)
    return -errno;
  for (;;)
    {
      ssize_t length;

      if (size - used < 4096)
        {
          char *larger = realloc (buffer, size = size * 2 + 8192);

          if (!larger)
            return -ENOMEM;
          buffer = larger;
        }
      length = read (fd, buffer + used, size - used - 1);
      if (length < 0)
        return -errno;
      if (length == 0)
        break;
      used += (size_t) length;
    }
  buffer[used] = '\0';
  *text = buffer;
  buffer = NULL;
  return 0;
}

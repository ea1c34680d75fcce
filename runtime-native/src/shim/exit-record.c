/* RUN/<pod>/<container>.exit: how a container ended, for an agent that finds the shim gone. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "shim/shim.h"

enum
{
  NAME_SIZE = 256,
};

static int
write_file (int dirfd, const char *name, const char *text, size_t size)
{
  cleanup_close int fd = openat (dirfd, name, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);

  if (fd < 0)
    return -errno;
  return write (fd, text, size) == (ssize_t) size ? 0 : -EIO;
}

int
ts_write_exit_record (const struct ts_container *container)
{
  int dirfd = container->shim->run_dirfd;
  char name[NAME_SIZE];
  char hidden[NAME_SIZE];
  char text[256];
  int size = snprintf (text, sizeof text,
                       "{\"startedAtMs\":%" PRIu64 ",\"finishedAtMs\":%" PRIu64 ",\"exitCode\":%" PRIu32
                       ",\"signal\":%" PRIu32 ",\"oomKilled\":%s}\n",
                       container->started_at, container->finished_at, container->exit_code, container->signal,
                       container->oom_killed ? "true" : "false");
  int err;

  if (snprintf (name, sizeof name, "%s.exit", container->id) >= (int) sizeof name
      || snprintf (hidden, sizeof hidden, ".%s.exit", container->id) >= (int) sizeof hidden)
    return -ENAMETOOLONG;
  err = write_file (dirfd, hidden, text, (size_t) size);
  if (err == 0 && renameat (dirfd, hidden, dirfd, name) < 0)
    err = -errno;
  return err;
}

void
ts_remove_exit_record (const struct ts_shim *shim, const char *id)
{
  char name[NAME_SIZE];

  if (snprintf (name, sizeof name, "%s.exit", id) < (int) sizeof name)
    unlinkat (shim->run_dirfd, name, 0);
}

#include "state.h"

#include "file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int
identity_read (int proc_fd, struct identity *identity)
{
  char text[1024];

  if (file_read_at (proc_fd, "self/stat", text, sizeof text) < 0)
    return -1;
  /* The name of the program may hold spaces and parentheses; what follows the last one does not. The start
     time is field 22, the state that comes first here is field 3. */
  char *at = strrchr (text, ')');
  for (int field = 3; at != NULL && field <= 22; field++)
    at = strchr (at + 1, ' ');
  if (at == NULL)
    {
      errno = EPROTO;
      return -1;
    }
  identity->pid = (int)strtol (text, NULL, 10);
  identity->start_time = strtoull (at + 1, NULL, 10);
  return 0;
}

static void
temporary_name (const struct state *state, char *buffer, size_t size)
{
  snprintf (buffer, size, ".%s.new", state->name);
}

int
state_write (const struct state *state, struct failure *failure)
{
  char temporary[300];

  temporary_name (state, temporary, sizeof temporary);
  cleanup_close int fd = openat (state->folder, temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0)
    return fail (failure, errno, "open %s", temporary);
  if (dprintf (fd,
               "{\"pid\":%d,\"startTime\":%llu,\"command\":{\"pid\":%d,\"startTime\":%llu,\"starts\":%d}}\n",
               state->self.pid, state->self.start_time, state->command.pid, state->command.start_time,
               state->starts)
      < 0)
    return fail (failure, errno, "write %s", temporary);
  if (renameat (state->folder, temporary, state->folder, state->name) < 0)
    return fail (failure, errno, "rename %s to %s", temporary, state->name);
  return 0;
}

void
state_remove (const struct state *state)
{
  char temporary[300];

  temporary_name (state, temporary, sizeof temporary);
  unlinkat (state->folder, temporary, 0);
  unlinkat (state->folder, state->name, 0);
}

#include "shim/log.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "lib/cleanup.h"

static int
open_file (struct ts_log *log)
{
  const int flags = O_WRONLY | O_CREAT | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
  cleanup_close int fd = openat (AT_FDCWD, log->path, flags, 0640);
  struct stat found;

  if (fd < 0 || fstat (fd, &found) < 0)
    return -errno;
  if (!S_ISREG (found.st_mode))
    return -EINVAL;
  log->size = (uint64_t) found.st_size;
  log->fd = steal_fd (&fd);
  return 0;
}

int
ts_open_log (struct ts_log *log, const char *path, uint64_t max_bytes, uint32_t max_files)
{
  *log = (struct ts_log){ .path = strdup (path), .fd = -1, .max_bytes = max_bytes, .max_files = max_files };
  return log->path ? open_file (log) : -ENOMEM;
}

void
ts_close_log (struct ts_log *log)
{
  if (log->fd >= 0)
    close (log->fd);
  free (log->path);
  *log = (struct ts_log){ .fd = -1 };
}

static void
move_file (const struct ts_log *log, uint32_t from, uint32_t to)
{
  char old_path[PATH_MAX];
  char new_path[PATH_MAX];
  int used = from ? snprintf (old_path, sizeof old_path, "%s.%u", log->path, from)
                  : snprintf (old_path, sizeof old_path, "%s", log->path);

  if (used < (int) sizeof old_path
      && snprintf (new_path, sizeof new_path, "%s.%u", log->path, to) < (int) sizeof new_path)
    rename (old_path, new_path);
}

/* path -> path.1 -> ... ; the last one is overwritten. With one file in all it is emptied. */
static void
rotate (struct ts_log *log)
{
  if (log->max_files < 2)
    {
      if (ftruncate (log->fd, 0) == 0)
        log->size = 0;
      return;
    }
  for (uint32_t number = log->max_files - 1; number > 0; number--)
    move_file (log, number - 1, number);
  close (log->fd);
  log->fd = -1;
  open_file (log);
}

void
ts_format_time (char out[TS_LOG_TIME + 1], int64_t seconds, uint32_t nanoseconds)
{
  time_t time = (time_t) seconds;
  struct tm part;

  gmtime_r (&time, &part);
  snprintf (out, TS_LOG_TIME + 1, "%04u-%02u-%02uT%02u:%02u:%02u.%09uZ", (unsigned) (part.tm_year + 1900) % 10000,
            (unsigned) (part.tm_mon + 1) % 100, (unsigned) part.tm_mday % 100, (unsigned) part.tm_hour % 100,
            (unsigned) part.tm_min % 100, (unsigned) part.tm_sec % 100, nanoseconds % 1000000000);
}

/* Lines on their way to the file: several share one write. Empty whenever ts_log_bytes and ts_log_rest have returned,
   so all logs share it. */
static struct
{
  char bytes[2 * TS_LOG_LINE];
  size_t size;
} batch;

/* After a write that the disk had no room for: only whole lines stay. */
static void
drop_torn_line (struct ts_log *log, size_t written)
{
  const char *end = memrchr (batch.bytes, '\n', written);
  size_t whole = end ? (size_t) (end - batch.bytes) + 1 : 0;

  log->size += ftruncate (log->fd, (off_t) (log->size + whole)) == 0 ? whole : written;
}

static void
flush_batch (struct ts_log *log)
{
  ssize_t written;

  if (batch.size == 0)
    return;
  if (log->fd >= 0 || open_file (log) == 0)
    {
      written = write (log->fd, batch.bytes, batch.size);
      if (written == (ssize_t) batch.size)
        log->size += batch.size;
      else if (written > 0)
        drop_torn_line (log, (size_t) written);
    }
  batch.size = 0;
}

static void
add_to_batch (const char *bytes, size_t size)
{
  if (size > 0)
    memcpy (batch.bytes + batch.size, bytes, size);
  batch.size += size;
}

/* Formatting the whole time takes longer than all else for a line, and most lines share their second. */
static void
add_time (void)
{
  static char text[TS_LOG_TIME + 1];
  static time_t formatted = -1;
  struct timespec now;
  long rest;

  clock_gettime (CLOCK_REALTIME, &now);
  if (now.tv_sec != formatted)
    ts_format_time (text, now.tv_sec, 0);
  formatted = now.tv_sec;
  rest = now.tv_nsec;
  for (char *digit = text + TS_LOG_TIME - 2; *digit != '.'; digit--, rest /= 10)
    *digit = (char) ('0' + rest % 10);
  add_to_batch (text, TS_LOG_TIME);
}

static void
write_line (struct ts_log *log, bool is_stderr, char kind, const struct ts_partial *start, const char *rest,
            size_t rest_size)
{
  char stream[] = " stdout F ";
  size_t size = TS_LOG_TIME + sizeof stream - 1 + start->size + rest_size + 1;

  memcpy (stream, is_stderr ? " stderr " : " stdout ", 8);
  stream[8] = kind;
  if (batch.size + size > sizeof batch.bytes)
    flush_batch (log);
  if (log->max_bytes && log->size + batch.size > 0 && log->size + batch.size + size > log->max_bytes)
    {
      flush_batch (log);
      if (log->fd >= 0)
        rotate (log);
    }
  add_time ();
  add_to_batch (stream, sizeof stream - 1);
  add_to_batch (start->text, start->size);
  add_to_batch (rest, rest_size);
  add_to_batch ("\n", 1);
}

static bool
keep_start (struct ts_partial *partial, const char *bytes, size_t size)
{
  if (!partial->text)
    partial->text = malloc (TS_LOG_LINE);
  if (!partial->text)
    return false;
  memcpy (partial->text + partial->size, bytes, size);
  partial->size += size;
  return true;
}

static void
forget_start (struct ts_partial *partial)
{
  free (partial->text);
  *partial = (struct ts_partial){ 0 };
}

void
ts_log_bytes (struct ts_log *log, bool is_stderr, struct ts_partial *partial, const char *bytes, size_t size)
{
  while (size > 0)
    {
      const char *newline = memchr (bytes, '\n', size);
      size_t line = newline ? (size_t) (newline - bytes) : size;
      size_t room = TS_LOG_LINE - partial->size;

      if (line > room)
        {
          write_line (log, is_stderr, 'P', partial, bytes, room);
          partial->size = 0;
          line = room;
        }
      else if (newline)
        {
          write_line (log, is_stderr, 'F', partial, bytes, line);
          forget_start (partial);
          line++;
        }
      else if (!keep_start (partial, bytes, line))
        {
          write_line (log, is_stderr, 'P', partial, bytes, line);
        }
      bytes += line;
      size -= line;
    }
  flush_batch (log);
}

void
ts_log_rest (struct ts_log *log, bool is_stderr, struct ts_partial *partial)
{
  if (partial->size > 0)
    write_line (log, is_stderr, 'F', partial, "", 0);
  flush_batch (log);
  forget_start (partial);
}

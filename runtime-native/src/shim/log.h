/* A container's log file: lines "TIME stdout|stderr F|P text", F for a full line and P for a part of one. */
#ifndef TS_LOG_H
#define TS_LOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum
{
  /* Longer lines are written in parts. */
  TS_LOG_LINE = 16 * 1024,
};

struct ts_log
{
  char *path;
  int fd; /* -1 when it could not be opened again after a rotation: what comes then is lost */
  uint64_t size;
  uint64_t max_bytes;
  uint32_t max_files;
};

/* The start of a line whose end has not come yet. */
struct ts_partial
{
  char *text;
  size_t size;
};

/* Creates or continues the file. Returns 0 or -errno. */
int ts_open_log (struct ts_log *log, const char *path, uint64_t max_bytes, uint32_t max_files);
void ts_close_log (struct ts_log *log);

/* Never fails: a full disk costs the lines that do not fit, and leaves no torn line behind. */
void ts_log_bytes (struct ts_log *log, bool is_stderr, struct ts_partial *partial, const char *bytes, size_t size);
/* Writes what is left and frees it. */
void ts_log_rest (struct ts_log *log, bool is_stderr, struct ts_partial *partial);

/* "2026-11-21T21:40:00.123456789Z" */
enum
{
  TS_LOG_TIME = 30,
};
void ts_format_time (char out[TS_LOG_TIME + 1], int64_t seconds, uint32_t nanoseconds);

#endif

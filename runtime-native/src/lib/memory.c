/* Memory that the process holds and can do without. */
#include "lib/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/result.h"
#include "lib/text-file.h"

/* Whether the line is the first one of a mapping; then `range`, and whether it is of the program and only read. */
static bool
parse_mapping (const char *line, const char *program, struct mapped_range *range, bool *is_candidate)
{
  struct mapped_range found;
  char permissions[5];
  int path = -1;
  size_t length = strlen (program);

  /* Names of fields may begin like a hexadecimal number. */
  if (sscanf (line, "%" SCNxPTR "-%" SCNxPTR " %4s %*x %*s %*u%n", &found.start, &found.end, permissions, &path) != 3
      || path < 0)
    return false;
  *range = found;
  line += path;
  line += strspn (line, " ");
  *is_candidate = permissions[0] == 'r' && permissions[1] == '-' && permissions[3] == 'p'
                  && strncmp (line, program, length) == 0 && (line[length] == '\n' || line[length] == '\0');
  return true;
}

const char *
next_clean_mapping (const char *smaps, const char *program, struct mapped_range *range)
{
  bool is_candidate = false, is_unwritten = false;

  for (const char *line = smaps; *line;)
    {
      const char *end = strchrnul (line, '\n');
      const char *next = end + (*end == '\n');
      int64_t kilobytes;

      if (parse_mapping (line, program, range, &is_candidate))
        is_unwritten = false;
      else if (sscanf (line, "Anonymous: %" SCNd64 " kB", &kilobytes) == 1)
        is_unwritten = kilobytes == 0;
      else if (sscanf (line, "Swap: %" SCNd64 " kB", &kilobytes) == 1 && kilobytes == 0 && is_unwritten && is_candidate)
        return next;
      line = next;
    }
  return NULL;
}

int
ts_memory_trim (struct ts_result *res)
{
  (void) res;
  malloc_trim (0);
  return 0;
}

int
ts_memory_release_program (struct ts_result *res)
{
  cleanup_free char *smaps = NULL;
  char program[PATH_MAX];
  struct mapped_range range;
  ssize_t length = readlink ("/proc/self/exe", program, sizeof program - 1);
  int status;

  if (length < 0)
    return ts_fail (res, errno, "find own program", "/proc/self/exe");
  program[length] = '\0';
  status = read_text_file (AT_FDCWD, "/proc/self/smaps", &smaps);
  if (status < 0)
    return ts_fail (res, -status, "read own mappings", "/proc/self/smaps");
  /* Nothing takes the program's own mappings away while it runs: what the text says still holds. */
  for (const char *at = smaps; (at = next_clean_mapping (at, program, &range));)
    if (madvise ((void *) range.start, range.end - range.start, MADV_DONTNEED) < 0)
      return ts_fail (res, errno, "let go of program's pages", "%" PRIxPTR "-%" PRIxPTR, range.start, range.end);
  return 0;
}

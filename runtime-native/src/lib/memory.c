/* Memory that the process holds and can do without. */
#include "lib/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <link.h>
#include <malloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/cleanup.h"
#include "lib/result.h"
#include "lib/text-file.h"

enum
{
  MAX_CLEAN_MAPPINGS = 256
};

/* What is known before the first object is looked at, and how it went. */
struct release
{
  const char *program;
  int count; /* -1: not read yet */
  struct clean_mapping mappings[MAX_CLEAN_MAPPINGS];
  int status;
  struct ts_result *res;
};

/* Whether the line is the first one of a mapping; then what it says, and whether it is of a file and only read. */
static bool
parse_mapping (const char *line, const char *program, struct clean_mapping *mapping, bool *is_candidate)
{
  struct clean_mapping found;
  unsigned long inode;
  char permissions[5];
  int path = -1;
  size_t length = strlen (program);

  /* Names of fields may begin like a hexadecimal number. */
  if (sscanf (line, "%" SCNxPTR "-%" SCNxPTR " %4s %*x %*s %lu%n", &found.start, &found.end, permissions, &inode, &path)
          != 4
      || path < 0)
    return false;
  line += path;
  line += strspn (line, " ");
  found.is_program = strncmp (line, program, length) == 0 && (line[length] == '\n' || line[length] == '\0');
  *mapping = found;
  *is_candidate = inode != 0 && permissions[0] == 'r' && permissions[1] == '-' && permissions[3] == 'p';
  return true;
}

const char *
next_clean_mapping (const char *smaps, const char *program, struct clean_mapping *mapping)
{
  bool is_candidate = false, is_unwritten = false;

  for (const char *line = smaps; *line;)
    {
      const char *end = strchrnul (line, '\n');
      const char *next = end + (*end == '\n');
      int64_t kilobytes;

      if (parse_mapping (line, program, mapping, &is_candidate))
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

static int
read_clean_mappings (struct release *release)
{
  cleanup_free char *smaps = NULL;
  int status = read_text_file (AT_FDCWD, "/proc/self/smaps", &smaps);

  if (status < 0)
    return ts_fail (release->res, -status, "read own mappings", "/proc/self/smaps");
  release->count = 0;
  for (const char *at = smaps; release->count < MAX_CLEAN_MAPPINGS; release->count++)
    {
      at = next_clean_mapping (at, release->program, &release->mappings[release->count]);
      if (!at)
        break;
    }
  return 0;
}

static int
release_mapping (const struct clean_mapping *mapping, struct ts_result *res)
{
  if (madvise ((void *) mapping->start, mapping->end - mapping->start, MADV_DONTNEED) < 0)
    return ts_fail (res, errno, "let go of program's pages", "%" PRIxPTR "-%" PRIxPTR, mapping->start, mapping->end);
  return 0;
}

static bool
is_loaded (const struct dl_phdr_info *object, const struct clean_mapping *mapping)
{
  for (int i = 0; i < object->dlpi_phnum; i++)
    {
      const ElfW (Phdr) *segment = &object->dlpi_phdr[i];
      /* The kernel maps whole pages. */
      uintptr_t start = (object->dlpi_addr + segment->p_vaddr) & ~(segment->p_align - 1);
      uintptr_t end = object->dlpi_addr + segment->p_vaddr + segment->p_memsz;

      if (segment->p_type == PT_LOAD && !(segment->p_flags & PF_W) && mapping->start >= start && mapping->start < end)
        return true;
    }
  return false;
}

/* Nothing is loaded or unloaded by another thread while this runs: what was read is true until it is done. */
static int
release_object (struct dl_phdr_info *object, size_t size, void *data)
{
  struct release *release = data;
  bool is_first = release->count < 0;

  (void) size;
  if (is_first)
    release->status = read_clean_mappings (release);
  for (int i = 0; release->status == 0 && i < release->count; i++)
    /* The program comes first. Of its file there are mappings that the loader knows nothing of, made by V8. */
    if (is_loaded (object, &release->mappings[i]) || (is_first && release->mappings[i].is_program))
      release->status = release_mapping (&release->mappings[i], release->res);
  return release->status;
}

int
ts_memory_release_program (struct ts_result *res)
{
  char program[PATH_MAX];
  struct release release = { .program = program, .count = -1, .res = res };
  ssize_t length = readlink ("/proc/self/exe", program, sizeof program - 1);

  if (length < 0)
    return ts_fail (res, errno, "find own program", "/proc/self/exe");
  program[length] = '\0';
  dl_iterate_phdr (release_object, &release);
  return release.status;
}

#ifndef TS_MEMORY_H
#define TS_MEMORY_H

#include <stdint.h>

struct mapped_range
{
  uintptr_t start;
  uintptr_t end;
};

/* Finds in the text of /proc/PID/smaps the next mapping of the file `program` that is private and cannot be written
   to, and of which no page was ever written: what relocations or a debugger changed counts as anonymous, or as
   swapped. Returns where to look on, or NULL when there is none. */
const char *next_clean_mapping (const char *smaps, const char *program, struct mapped_range *range);

#endif

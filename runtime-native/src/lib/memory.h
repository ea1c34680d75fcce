#ifndef TS_MEMORY_H
#define TS_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

struct clean_mapping
{
  uintptr_t start;
  uintptr_t end;
  bool is_program; /* of the file that was asked for */
};

/* Finds in the text of /proc/PID/smaps the next mapping of a file that is private and cannot be written to, and of
   which no page was ever written: what relocations or a debugger changed counts as anonymous, or as swapped. Returns
   where to look on, or NULL when there is none. */
const char *next_clean_mapping (const char *smaps, const char *program, struct clean_mapping *mapping);

#endif

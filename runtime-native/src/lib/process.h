#ifndef TS_PROCESS_H
#define TS_PROCESS_H

#include <stdint.h>
#include <sys/types.h>

/* Start time of a process in clock ticks since boot, or -errno. */
int64_t read_start_time (pid_t pid);

/* Field 22 of the text of /proc/PID/stat, or -EINVAL. The name in it may hold spaces and parentheses. */
int64_t parse_start_time (const char *stat);

#endif

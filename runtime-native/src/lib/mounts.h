#ifndef TS_MOUNTS_H
#define TS_MOUNTS_H

#include <stdbool.h>
#include <stddef.h>

/* Replaces the \ooo that the kernel writes for blanks, tabs, newlines and backslashes in a path. In place. */
void unescape_mount_path (char *text);

/* Finds the mount point in a line of /proc/self/mountinfo, which is cut up for it; NULL if the line is not one. */
char *mount_point_of_line (char *line);

/* Whether `path` is `top` or below it. */
bool is_at_or_below (const char *path, const char *top);

#endif

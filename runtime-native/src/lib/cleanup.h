/* Resources that end with their scope, so that an early return leaks nothing; `steal_` hands one on. */
#ifndef TS_CLEANUP_H
#define TS_CLEANUP_H

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static inline void
cleanup_closep (int *fd)
{
  int saved = errno;

  if (*fd >= 0)
    close (*fd);
  errno = saved;
}

static inline void
cleanup_freep (void *pointer)
{
  free (*(void **) pointer);
}

static inline void
cleanup_dirp (DIR **dir)
{
  int saved = errno;

  if (*dir)
    closedir (*dir);
  errno = saved;
}

static inline void
cleanup_filep (FILE **file)
{
  int saved = errno;

  if (*file)
    fclose (*file);
  errno = saved;
}

#define cleanup_close __attribute__ ((cleanup (cleanup_closep)))
#define cleanup_free __attribute__ ((cleanup (cleanup_freep)))
#define cleanup_dir __attribute__ ((cleanup (cleanup_dirp)))
#define cleanup_file __attribute__ ((cleanup (cleanup_filep)))

static inline int
steal_fd (int *fd)
{
  int taken = *fd;

  *fd = -1;
  return taken;
}

#endif

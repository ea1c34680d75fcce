/* One epoll descriptor and what it watches. Events are taken one at a time, so that a handler may free any source. */
#ifndef TS_LOOP_H
#define TS_LOOP_H

#include <stddef.h>
#include <stdint.h>

struct ts_source
{
  int fd; /* -1: closed */
  uint32_t watched;
  void (*ready) (struct ts_source *source, uint32_t events);
};

#define ts_owner(source, type, member) ((type *) (void *) ((char *) (source) -offsetof (type, member)))

/* Watches for exactly these events; 0 takes the source out, also from hang-ups, which are always reported otherwise.
   Returns 0 or -errno. */
int ts_watch (int epoll, struct ts_source *source, uint32_t events);

/* Takes it out and closes it. */
void ts_close_source (int epoll, struct ts_source *source);

/* Waits for one event and handles it. */
void ts_run_once (int epoll);

#endif

#ifndef TS_THREAD_H
#define TS_THREAD_H

#include <stdbool.h>

/* Runs work (arg), which returns 0 or -errno, in a thread of its own. For what changes the thread it runs in (its
   namespaces), or needs more stack than a caller may have. All signals are blocked in it. Returns what work returned;
   when no thread can be had, -errno with *started false. */
int run_in_thread (int (*work) (void *), void *arg, bool *started);

#endif

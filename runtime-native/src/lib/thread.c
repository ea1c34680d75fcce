#include "lib/thread.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>

struct job
{
  int (*work) (void *);
  void *arg;
  int result;
};

static void *
run_job (void *arg)
{
  struct job *job = arg;

  job->result = job->work (job->arg);
  return NULL;
}

int
run_in_thread (int (*work) (void *), void *arg, bool *started)
{
  struct job job = { work, arg, 0 };
  sigset_t all, before;
  pthread_t thread;
  int err;

  /* It inherits the mask: a handler of Node's would find itself in a strange namespace. */
  sigfillset (&all);
  pthread_sigmask (SIG_SETMASK, &all, &before);
  err = pthread_create (&thread, NULL, run_job, &job);
  pthread_sigmask (SIG_SETMASK, &before, NULL);
  *started = err == 0;
  if (err)
    return -err;
  pthread_join (thread, NULL);
  return job.result;
}

/* The life of a container: starting -> running -> exited, until it is forgotten. */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "container/syscalls.h"
#include "lib/cleanup.h"
#include "shim/protocol.h"
#include "shim/shim.h"

uint64_t
ts_now (void)
{
  struct timespec now;

  clock_gettime (CLOCK_REALTIME, &now);
  return (uint64_t) now.tv_sec * 1000 + (uint64_t) now.tv_nsec / 1000000;
}

struct ts_container *
ts_find_container (struct ts_shim *shim, const char *id)
{
  for (struct ts_container *container = shim->containers; container; container = container->next)
    if (strcmp (container->id, id) == 0)
      return container;
  return NULL;
}

void
ts_put_container_state (struct ts_buffer *buffer, const struct ts_container *container)
{
  size_t begin = ts_begin_field (buffer, TS_TAG_CONTAINER_STATE);

  ts_put_string (buffer, TS_TAG_CONTAINER, container->id);
  ts_put_u64 (buffer, TS_TAG_STARTED_AT, container->started_at);
  if (container->phase == TS_EXITED)
    {
      ts_put_u64 (buffer, TS_TAG_FINISHED_AT, container->finished_at);
      ts_put_u32 (buffer, TS_TAG_EXIT_CODE, container->exit_code);
      ts_put_u32 (buffer, TS_TAG_SIGNAL, container->signal);
      ts_put_u32 (buffer, TS_TAG_OOM_KILLED, container->oom_killed);
    }
  else
    ts_put_u32 (buffer, TS_TAG_PID, (uint32_t) container->pid);
  ts_end_field (buffer, begin);
}

void
ts_free_strings (char **strings)
{
  for (char **string = strings; string && *string; string++)
    free (*string);
  free (strings);
}

static void
unlink_container (struct ts_container *container)
{
  struct ts_container **link = &container->shim->containers;

  while (*link && *link != container)
    link = &(*link)->next;
  if (*link)
    *link = container->next;
}

/* Ends everything a running container needs. */
static void
release_container (struct ts_container *container)
{
  ts_end_launch (&container->launch);
  ts_close_source (container->shim->epoll, &container->out.source);
  ts_close_source (container->shim->epoll, &container->err.source);
  ts_close_input (&container->input);
  ts_close_log (&container->log);
  cleanup_closep (&container->terminal);
  container->terminal = -1;
  cleanup_closep (&container->pidfd);
  container->pidfd = -1;
  ts_free_strings (container->cgroup_dirs);
  container->cgroup_dirs = NULL;
  ts_forget_early (container);
  free ((void *) (uintptr_t) container->security.seccomp);
  container->security.seccomp = NULL;
}

void
ts_forget_container (struct ts_container *container)
{
  unlink_container (container);
  release_container (container);
  free (container->id);
  free (container);
}

/* It has ended or never started: recorded, told, and kept until it is removed. */
void
ts_end_container (struct ts_container *container)
{
  container->finished_at = ts_now ();
  container->phase = TS_EXITED;
  ts_write_exit_record (container);
  ts_announce_exit (container->shim, container);
  release_container (container);
}

void
ts_kill_container (struct ts_container *container, int signal_number)
{
  if (container->phase == TS_EXITED)
    return;
  /* Who set it up may have ended already, and told who goes on. */
  if (ts_is_launching (&container->launch))
    ts_advance_launch (&container->launch);
  ts_follow_process (container);
  /* Not reaped yet, so the pid is still its. */
  kill (container->pid, signal_number);
}

void
ts_follow_process (struct ts_container *container)
{
  pid_t pid = container->launch.pid;

  if (pid == 0 || pid == container->pid)
    return;
  container->pid = pid;
  cleanup_closep (&container->pidfd);
  container->pidfd = sys_pidfd_open (pid);
}

/* In a shared pid namespace a container is set up by a process outside of it, which ends when it has told who goes on.
   When it was killed before it came to its end, that one is to end as well. */
static void
hand_on (struct ts_container *container, int status)
{
  ts_follow_process (container);
  if (status != 0)
    kill (container->pid, SIGKILL);
}

void
ts_container_ended (struct ts_container *container, pid_t pid, int status)
{
  struct ts_launch *launch = &container->launch;

  if (ts_is_launching (launch))
    ts_advance_launch (launch);
  if (launch->pid && launch->pid != pid)
    {
      hand_on (container, status);
      return;
    }
  /* Who set it up may still be about to end and hold the channel open. */
  if (ts_is_launching (launch) && launch->ready)
    ts_complete_launch (launch);
  if (container->phase == TS_STARTING)
    {
      struct ts_failure failure = launch->failure;

      if (!failure.error)
        ts_fail (&failure, ECHILD, "set up process", "it was killed before it could start");
      ts_refuse_start (container, &failure);
      return;
    }
  /* In a pid namespace of its own nobody outlives the first process. */
  if (container->shares_pids)
    ts_kill_cgroup (container->cgroup_dirs);
  ts_finish_stream (&container->out);
  ts_finish_stream (&container->err);
  container->signal = (uint32_t) (status & 0x7f);
  container->exit_code = ts_exit_code (status);
  container->oom_killed = ts_was_oom_killed (container->cgroup_dirs);
  ts_end_container (container);
  ts_settle (container->shim);
}

void
ts_leave_containers (struct ts_connection *connection)
{
  for (struct ts_container *container = connection->shim->containers; container; container = container->next)
    {
      if (container->requester == connection)
        container->requester = NULL;
      if (container->input.from == connection)
        container->input.from = NULL;
    }
  if (connection->attached)
    {
      struct ts_container *container = connection->attached;

      connection->attached = NULL;
      if (connection->ends_stdin)
        ts_end_input (&container->input, connection);
      ts_resume_streams (container);
    }
}

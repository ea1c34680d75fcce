/* From a request to a running container, or to an answer that says why not. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "container/setup.h"
#include "container/syscalls.h"
#include "lib/cleanup.h"
#include "shim/protocol.h"
#include "shim/shim.h"

enum
{
  /* As Kubernetes reports a container that could not be started. */
  EXIT_NOT_STARTED = 128,
};

static char **
copy_strings (char *const *strings)
{
  size_t count = 0;
  char **copies;

  while (strings[count])
    count++;
  copies = calloc (count + 1, sizeof *copies);
  for (size_t i = 0; copies && i < count; i++)
    if (!(copies[i] = strdup (strings[i])))
      {
        ts_free_strings (copies);
        return NULL;
      }
  return copies;
}

static struct ts_container *
new_container (struct ts_connection *connection, const struct ts_container_spec *spec)
{
  struct ts_container *container = calloc (1, sizeof *container);
  void *seccomp;

  if (!container)
    return NULL;
  container->shim = connection->shim;
  container->launch.shim = connection->shim;
  container->launch.channel.fd = -1;
  container->input = (struct ts_input){ .shim = connection->shim, .source.fd = -1 };
  container->out = (struct ts_stream){ .container = container, .source.fd = -1 };
  container->err = (struct ts_stream){ .container = container, .source.fd = -1 };
  container->log.fd = -1;
  container->terminal = -1;
  container->pidfd = -1;
  container->requester = connection;
  container->request = connection->frame.request;
  container->shares_pids = spec->host_pid || spec->pod_pid || spec->target;
  container->oom_score_adj = spec->oom_score_adj;
  container->keeps_early = spec->stdin_open;
  container->security = spec->security;
  container->security.seccomp = NULL;
  container->id = strdup (spec->id);
  container->cgroup_dirs = copy_strings (spec->cgroup_dirs);
  seccomp = spec->security.seccomp ? malloc (spec->security.seccomp_size) : NULL;
  if (seccomp)
    container->security.seccomp = memcpy (seccomp, spec->security.seccomp, spec->security.seccomp_size);
  if (!container->id || !container->cgroup_dirs || (spec->security.seccomp && !seccomp))
    {
      ts_forget_container (container);
      return NULL;
    }
  return container;
}

static void container_launched (struct ts_launch *launch);

static int
clone_child (struct ts_container *container, const struct ts_container_spec *spec, const struct ts_stdio *stdio,
             struct ts_failure *failure)
{
  uint64_t namespaces = CLONE_NEWNS | (container->shares_pids ? 0 : CLONE_NEWPID);
  int fds[3];
  cleanup_close int channel = ts_begin_launch (container->shim, &container->launch, container_launched);

  if (channel < 0)
    return ts_fail_step (failure, -channel, "make channel");
  ts_child_stdio (stdio, fds);
  container->pid = sys_clone (namespaces | CLONE_PIDFD | SIGCHLD, &container->pidfd);
  if (container->pid == 0)
    ts_start_child (spec, channel, fds);
  if (container->pid < 0)
    {
      container->pidfd = -1;
      return ts_fail_step (failure, errno, "clone");
    }
  return 0;
}

static int
begin_outputs (struct ts_container *container, struct ts_stdio *stdio)
{
  int err = 0;

  ts_begin_input (container->shim, &container->input, steal_fd (&stdio->in[1]));
  if (stdio->out[0] >= 0)
    err = ts_begin_stream (container, &container->out, steal_fd (&stdio->out[0]), false);
  if (err == 0 && stdio->err[0] >= 0)
    err = ts_begin_stream (container, &container->err, steal_fd (&stdio->err[0]), true);
  return err;
}

static int
launch_container (struct ts_container *container, const struct ts_container_spec *spec, struct ts_failure *failure)
{
  struct ts_stdio stdio;
  int err = ts_open_log (&container->log, spec->log_path, spec->log_max_bytes, spec->log_max_files);

  if (err < 0)
    return ts_fail (failure, -err, "open log", "%s", spec->log_path);
  err = ts_open_stdio (&stdio, &spec->process, spec->stdin_open);
  if (err < 0)
    ts_fail_step (failure, -err, "open stdio");
  if (err == 0)
    err = clone_child (container, spec, &stdio, failure);
  if (err == 0 && begin_outputs (container, &stdio) < 0)
    kill (container->pid, SIGKILL);
  ts_close_stdio (&stdio);
  return err;
}

/* Somebody else than who asked has been told that it runs. */
static bool
is_known_to_others (const struct ts_container *container)
{
  if (!container->requester)
    return true;
  for (const struct ts_connection *connection = container->shim->connections; connection; connection = connection->next)
    if (connection->subscribed && connection != container->requester)
      return true;
  return false;
}

/* An agent that came after who asked takes it for running: to that one it ends at once. */
void
ts_refuse_start (struct ts_container *container, const struct ts_failure *failure)
{
  struct ts_shim *shim = container->shim;
  bool known = is_known_to_others (container);

  if (container->requester)
    ts_send_failure (container->requester, container->request, failure);
  if (known)
    {
      container->exit_code = EXIT_NOT_STARTED;
      ts_end_container (container);
      container->requester = NULL;
    }
  else
    ts_forget_container (container);
  ts_settle (shim);
}

/* The target's first process is the first one of its pid namespace, or at least in it. */
static int
add_target (struct ts_shim *shim, struct ts_container_spec *spec, struct ts_failure *failure)
{
  const struct ts_container *target = ts_find_container (shim, spec->target);

  if (!target || target->phase != TS_RUNNING || target->pidfd < 0)
    return ts_refuse (failure, TS_NOT_FOUND, ESRCH, "join the processes of container", "%s", spec->target);
  spec->pod_init = target->pidfd;
  return 0;
}

/* What the sandbox has for all of its containers. */
static int
add_shared (struct ts_shim *shim, struct ts_container_spec *spec, struct ts_failure *failure)
{
  spec->shm = shim->shm;
  spec->program = shim->program;
  if (spec->target)
    return add_target (shim, spec, failure);
  if (!spec->pod_pid)
    return 0;
  if (!shim->pod_init.pid)
    return ts_refuse (failure, TS_INVALID_ARGUMENT, EINVAL, "start container", "the pod shares no pid namespace");
  spec->pod_init = shim->pod_init.pidfd;
  spec->proc = shim->pod_init.proc;
  return 0;
}

void
ts_start_container (struct ts_connection *connection, struct ts_container_spec *spec)
{
  struct ts_failure failure = { 0 };
  struct ts_container *container;

  if (add_shared (connection->shim, spec, &failure) < 0)
    {
      ts_send_failure (connection, connection->frame.request, &failure);
      return;
    }

  if (ts_find_container (connection->shim, spec->id))
    {
      ts_refuse (&failure, TS_ALREADY_EXISTS, EEXIST, "start container", "%s", spec->id);
      ts_send_failure (connection, connection->frame.request, &failure);
      return;
    }
  container = new_container (connection, spec);
  if (!container)
    {
      ts_fail (&failure, ENOMEM, "start container", "%s", spec->id);
      ts_send_failure (connection, connection->frame.request, &failure);
      return;
    }
  if (launch_container (container, spec, &failure) < 0)
    {
      ts_send_failure (connection, connection->frame.request, &failure);
      ts_forget_container (container);
      return;
    }
  container->started_at = ts_now ();
  container->next = connection->shim->containers;
  connection->shim->containers = container;
}

/* The terminal's controlling side: read as the output, written as the input. */
static void
take_terminal (struct ts_container *container, int terminal)
{
  int input = fcntl (terminal, F_DUPFD_CLOEXEC, 0);

  container->terminal = fcntl (terminal, F_DUPFD_CLOEXEC, 0);
  ts_begin_input (container->shim, &container->input, input);
  ts_begin_stream (container, &container->out, terminal, false);
}

/* The child has called execve, or failed before: a failed one is answered and forgotten when it is reaped. */
static void
container_launched (struct ts_launch *launch)
{
  struct ts_container *container = ts_owner (launch, struct ts_container, launch);
  struct ts_buffer frame = { 0 };
  size_t begin;

  if (launch->terminal >= 0)
    take_terminal (container, launch->terminal);
  launch->terminal = -1;
  if (launch->failed)
    return;
  ts_follow_process (container);
  container->phase = TS_RUNNING;
  container->started_at = ts_now ();
  if (container->requester)
    {
      begin = ts_begin_frame (&frame, TS_FRAME_STARTED, container->request);
      ts_put_u32 (&frame, TS_TAG_PID, (uint32_t) container->pid);
      ts_put_u64 (&frame, TS_TAG_STARTED_AT, container->started_at);
      ts_end_frame (&frame, begin);
      ts_send (container->requester, &frame);
      container->requester = NULL;
    }
  ts_settle (container->shim);
}

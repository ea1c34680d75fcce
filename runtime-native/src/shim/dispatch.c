/* One function per request. */
#include <errno.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "shim/protocol.h"
#include "shim/shim.h"

static struct ts_fields
fields_of (const struct ts_connection *connection)
{
  return ts_fields_of (connection->payload, connection->frame.size);
}

/* A container that is being started is told as running: a second agent must not miss what the first one asked for. */
static void
handle_state (struct ts_connection *connection)
{
  struct ts_shim *shim = connection->shim;
  struct ts_buffer frame = { 0 };
  size_t begin = ts_begin_frame (&frame, TS_FRAME_STATE_IS, connection->frame.request);

  connection->subscribed = true;
  ts_put_u32 (&frame, TS_TAG_PID, (uint32_t) getpid ());
  ts_put_string (&frame, TS_TAG_SANDBOX, shim->id);
  for (const struct ts_container *container = shim->containers; container; container = container->next)
    ts_put_container_state (&frame, container);
  ts_end_frame (&frame, begin);
  ts_send (connection, &frame);
}

static void
handle_start (struct ts_connection *connection)
{
  struct ts_container_spec spec;
  struct ts_failure failure = { 0 };
  int err = 0;

  if (connection->shim->stopping)
    err = ts_refuse (&failure, TS_NOT_FOUND, ESHUTDOWN, "start container", "the sandbox is being removed");
  if (err == 0)
    err = ts_parse_container (fields_of (connection), &spec, &failure);
  if (err < 0)
    {
      ts_send_failure (connection, connection->frame.request, &failure);
      return;
    }
  ts_start_container (connection, &spec);
  ts_free_container (&spec);
}

/* The container that a small request names, or NULL; then an answer was sent unless none is no fault. */
static int
read_target (struct ts_connection *connection, struct ts_target *target, struct ts_container **container)
{
  struct ts_failure failure = { 0 };
  int err = ts_parse_target (fields_of (connection), target, &failure);

  if (err < 0)
    ts_send_failure (connection, connection->frame.request, &failure);
  else
    *container = target->container ? ts_find_container (connection->shim, target->container) : NULL;
  return err;
}

static void
refuse_unknown (struct ts_connection *connection, const char *step, const struct ts_target *target)
{
  struct ts_failure failure = { 0 };

  ts_refuse (&failure, TS_NOT_FOUND, ENOENT, step, "container %s", target->container ? target->container : "");
  ts_send_failure (connection, connection->frame.request, &failure);
}

static void
handle_signal (struct ts_connection *connection)
{
  struct ts_target target;
  struct ts_container *container;
  struct ts_failure failure = { 0 };

  if (read_target (connection, &target, &container) < 0)
    return;
  if (!container)
    {
      refuse_unknown (connection, "signal container", &target);
      return;
    }
  if (target.signal == 0 || target.signal >= NSIG)
    {
      ts_refuse (&failure, TS_INVALID_ARGUMENT, EINVAL, "signal container", "signal %u", target.signal);
      ts_send_failure (connection, connection->frame.request, &failure);
      return;
    }
  ts_kill_container (container, (int) target.signal);
  ts_send_ok (connection, connection->frame.request);
}

static void
handle_remove (struct ts_connection *connection)
{
  struct ts_target target;
  struct ts_container *container;
  struct ts_failure failure = { 0 };

  if (read_target (connection, &target, &container) < 0)
    return;
  if (container && container->phase != TS_EXITED)
    {
      ts_refuse (&failure, TS_INVALID_ARGUMENT, EBUSY, "remove container", "%s runs", container->id);
      ts_send_failure (connection, connection->frame.request, &failure);
      return;
    }
  if (container)
    {
      ts_remove_exit_record (connection->shim, container->id);
      ts_forget_container (container);
    }
  ts_send_ok (connection, connection->frame.request);
}

static void
handle_shutdown (struct ts_connection *connection)
{
  struct ts_shim *shim = connection->shim;

  shim->stopping = true;
  connection->awaits_shutdown = true;
  connection->shutdown_request = connection->frame.request;
  for (struct ts_container *container = shim->containers; container; container = container->next)
    if (container->phase != TS_EXITED)
      ts_kill_container (container, SIGKILL);
  if (shim->pod_init.pid)
    kill (shim->pod_init.pid, SIGKILL);
}

static void
handle_exec (struct ts_connection *connection)
{
  struct ts_exec_request request;
  struct ts_failure failure = { 0 };
  int err = 0;

  if (connection->exec || connection->attached || connection->forward)
    err = ts_refuse (&failure, TS_INVALID_ARGUMENT, EBUSY, "exec", "the connection is in use");
  if (err == 0)
    err = ts_parse_exec (fields_of (connection), &request, &failure);
  if (err < 0)
    {
      ts_send_failure (connection, connection->frame.request, &failure);
      return;
    }
  ts_start_exec (connection, &request);
  ts_free_process (&request.process);
}

static void
handle_exec_kill (struct ts_connection *connection)
{
  struct ts_target target;
  struct ts_container *container;

  if (read_target (connection, &target, &container) < 0)
    return;
  for (struct ts_exec *exec = connection->shim->execs; exec; exec = exec->next)
    if (!exec->ended && exec->pid > 0 && (uint32_t) exec->pid == target.pid)
      ts_kill_exec (exec);
  ts_send_ok (connection, connection->frame.request);
}

static void
handle_attach (struct ts_connection *connection)
{
  struct ts_target target;
  struct ts_container *container;

  if (read_target (connection, &target, &container) < 0)
    return;
  if (!container || container->phase == TS_EXITED || connection->exec || connection->forward)
    {
      refuse_unknown (connection, "attach", &target);
      return;
    }
  connection->attached = container;
  connection->ends_stdin = target.ends_stdin;
  ts_send_ok (connection, connection->frame.request);
  if (target.early_output && container->early.size > 0)
    ts_send (connection, &container->early);
  ts_forget_early (container);
}

static void
handle_connect (struct ts_connection *connection)
{
  struct ts_target target;
  struct ts_container *container;
  struct ts_failure failure = { 0 };

  if (read_target (connection, &target, &container) < 0)
    return;
  if (connection->exec || connection->attached || connection->forward)
    ts_refuse (&failure, TS_INVALID_ARGUMENT, EBUSY, "connect to port", "the connection is in use");
  else if (target.port == 0 || target.port > UINT16_MAX)
    ts_refuse (&failure, TS_INVALID_ARGUMENT, EINVAL, "connect to port", "port %u", target.port);
  if (failure.error)
    ts_send_failure (connection, connection->frame.request, &failure);
  else
    ts_start_forward (connection, (uint16_t) target.port);
}

static struct ts_input *
input_of (struct ts_connection *connection)
{
  if (connection->exec)
    return &connection->exec->input;
  if (connection->forward)
    return ts_forward_input (connection->forward);
  return connection->attached ? &connection->attached->input : NULL;
}

static void
handle_stdin (struct ts_connection *connection)
{
  struct ts_input *input = input_of (connection);

  if (input && connection->frame.size > 0)
    ts_write_input (input, connection);
  if (connection->forward)
    ts_settle_forward (connection->forward);
}

static void
handle_stdin_end (struct ts_connection *connection)
{
  struct ts_input *input = input_of (connection);

  if (input)
    ts_end_input (input, connection);
  if (connection->forward)
    ts_settle_forward (connection->forward);
}

static void
handle_resize (struct ts_connection *connection)
{
  struct ts_failure failure = { 0 };
  struct ts_target target;
  int terminal = connection->exec       ? connection->exec->terminal
                 : connection->attached ? connection->attached->terminal
                                        : -1;

  if (terminal >= 0 && ts_parse_target (fields_of (connection), &target, &failure) == 0)
    {
      struct winsize size = { .ws_col = (unsigned short) target.columns, .ws_row = (unsigned short) target.rows };

      ioctl (terminal, TIOCSWINSZ, &size);
    }
}

void
ts_dispatch (struct ts_connection *connection)
{
  struct ts_failure failure = { 0 };

  switch (connection->frame.type)
    {
    case TS_FRAME_STATE:
      handle_state (connection);
      break;
    case TS_FRAME_START:
      handle_start (connection);
      break;
    case TS_FRAME_SIGNAL:
      handle_signal (connection);
      break;
    case TS_FRAME_REMOVE:
      handle_remove (connection);
      break;
    case TS_FRAME_SHUTDOWN:
      handle_shutdown (connection);
      break;
    case TS_FRAME_EXEC:
      handle_exec (connection);
      break;
    case TS_FRAME_EXEC_KILL:
      handle_exec_kill (connection);
      break;
    case TS_FRAME_ATTACH:
      handle_attach (connection);
      break;
    case TS_FRAME_CONNECT:
      handle_connect (connection);
      break;
    case TS_FRAME_STDIN:
      handle_stdin (connection);
      break;
    case TS_FRAME_STDIN_END:
      handle_stdin_end (connection);
      break;
    case TS_FRAME_RESIZE:
      handle_resize (connection);
      break;
    default:
      ts_refuse (&failure, TS_INVALID_ARGUMENT, ENOSYS, "read request", "type %u", connection->frame.type);
      ts_send_failure (connection, connection->frame.request, &failure);
    }
  ts_settle (connection->shim);
}

static void
send_exit (struct ts_connection *connection, const struct ts_container *container)
{
  struct ts_buffer frame = { 0 };
  size_t begin = ts_begin_frame (&frame, TS_FRAME_EXITED, 0);

  ts_put_container_state (&frame, container);
  ts_end_frame (&frame, begin);
  ts_send (connection, &frame);
}

/* Who asked for a start that failed has been answered already. */
void
ts_announce_exit (struct ts_shim *shim, struct ts_container *container)
{
  for (struct ts_connection *connection = shim->connections; connection; connection = connection->next)
    {
      if (connection->subscribed && connection != container->requester)
        send_exit (connection, container);
      if (connection->attached == container)
        {
          send_exit (connection, container);
          connection->attached = NULL;
          ts_finish_connection (connection);
        }
    }
}

static void
end_shim (struct ts_shim *shim)
{
  ts_leave_sandbox (shim);
  for (struct ts_connection *connection = shim->connections; connection; connection = connection->next)
    if (connection->awaits_shutdown)
      ts_send_ok (connection, connection->shutdown_request);
  ts_flush_all (shim);
  _exit (0);
}

void
ts_settle (struct ts_shim *shim)
{
  if (!shim->stopping)
    return;
  for (const struct ts_container *container = shim->containers; container; container = container->next)
    if (container->phase != TS_EXITED)
      return;
  if (!shim->pod_init.pid)
    end_shim (shim);
}

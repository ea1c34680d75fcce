/* A process that joins a container. It belongs to its connection: when that goes, it is killed. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "container/mounts.h"
#include "container/setup.h"
#include "container/syscalls.h"
#include "lib/cleanup.h"
#include "shim/protocol.h"
#include "shim/shim.h"

static void
free_exec (struct ts_exec *exec)
{
  struct ts_exec **link = &exec->shim->execs;

  while (*link && *link != exec)
    link = &(*link)->next;
  if (*link)
    *link = exec->next;
  if (exec->connection)
    exec->connection->exec = NULL;
  ts_end_launch (&exec->launch);
  ts_close_source (exec->shim->epoll, &exec->out);
  ts_close_source (exec->shim->epoll, &exec->err);
  ts_close_input (&exec->input);
  cleanup_closep (&exec->terminal);
  free (exec);
}

/* ---- output ---- */

static void
finish (struct ts_exec *exec)
{
  struct ts_connection *connection = exec->connection;
  struct ts_buffer frame = { 0 };
  size_t begin;

  if (!exec->ended || exec->out.fd >= 0 || exec->err.fd >= 0)
    return;
  if (connection)
    {
      begin = ts_begin_frame (&frame, TS_FRAME_EXEC_EXITED, 0);
      ts_put_u32 (&frame, TS_TAG_EXIT_CODE, exec->exit_code);
      ts_end_frame (&frame, begin);
      ts_send (connection, &frame);
      ts_finish_connection (connection);
    }
  free_exec (exec);
}

/* Moves output on as long as the connection takes it. Once the process has ended, what is in the pipe is all there
   will be, even if others still hold it and write on. */
static void
pump (struct ts_exec *exec, struct ts_source *source)
{
  static uint8_t bytes[TS_MAX_DATA / 2];

  while (source->fd >= 0)
    {
      ssize_t size;

      if (exec->connection && ts_backlog (exec->connection))
        {
          ts_watch (exec->shim->epoll, source, 0);
          return;
        }
      size = read (source->fd, bytes, sizeof bytes);
      if (size < 0 && errno == EINTR)
        continue;
      if (size < 0 && errno == EAGAIN && !exec->ended)
        {
          ts_watch (exec->shim->epoll, source, EPOLLIN);
          return;
        }
      if (exec->ended && size > 0)
        exec->read_after_end += (size_t) size;
      if (size <= 0 || exec->read_after_end > 2 * TS_MAX_PIPE)
        ts_close_source (exec->shim->epoll, source);
      else if (exec->connection)
        ts_send_data (exec->connection, source == &exec->err ? TS_FRAME_STDERR : TS_FRAME_STDOUT, bytes, (size_t) size);
    }
}

static void
out_ready (struct ts_source *source, uint32_t events)
{
  struct ts_exec *exec = ts_owner (source, struct ts_exec, out);

  (void) events;
  pump (exec, source);
  finish (exec);
}

static void
err_ready (struct ts_source *source, uint32_t events)
{
  struct ts_exec *exec = ts_owner (source, struct ts_exec, err);

  (void) events;
  pump (exec, source);
  finish (exec);
}

void
ts_resume_exec (struct ts_exec *exec)
{
  pump (exec, &exec->out);
  pump (exec, &exec->err);
  finish (exec);
}

/* ---- start ---- */

static void exec_launched (struct ts_launch *launch);

/* `kubectl cp` runs "tar" and "test" in the container, which many images lack: then the node's own stand in for them,
   with the rights of any other exec. By a read-only mount, so that nobody can write to the file through /proc/PID/exe
   (CVE-2019-5736). -1 when the command is another one, or there is no such file: then an exec goes as it goes without.
 */
static int
open_copy_tools (const struct ts_shim *shim, const struct ts_process *process)
{
  const char *name = process->argv[0];
  cleanup_close int tools = -1;

  if (!shim->copy_tools || (strcmp (name, "tar") != 0 && strcmp (name, "test") != 0))
    return -1;
  tools = sys_open_tree (AT_FDCWD, shim->copy_tools, OPEN_TREE_CLONE);
  if (tools < 0 || ts_set_attributes (tools, 0, MOUNT_ATTR_RDONLY) < 0)
    return -1;
  return steal_fd (&tools);
}

static int
clone_joiner (struct ts_exec *exec, const struct ts_container *container, const struct ts_process *process,
              const struct ts_stdio *stdio, struct ts_failure *failure)
{
  cleanup_close int tools = open_copy_tools (exec->shim, process);
  struct ts_join_spec spec = {
    .process = process,
    .security = &container->security,
    .cgroup_dirs = container->cgroup_dirs,
    .oom_score_adj = container->oom_score_adj,
    .pidfd = container->pidfd,
    .tools = tools,
  };
  int fds[3];
  cleanup_close int channel = ts_begin_launch (exec->shim, &exec->launch, exec_launched);
  pid_t pid;

  if (channel < 0)
    return ts_fail_step (failure, -channel, "make channel");
  ts_child_stdio (stdio, fds);
  pid = sys_clone (SIGCHLD, NULL);
  if (pid == 0)
    ts_join_child (&spec, channel, fds);
  return pid < 0 ? ts_fail_step (failure, errno, "clone") : 0;
}

static void
begin_source (struct ts_source *source, int fd, void (*ready) (struct ts_source *, uint32_t))
{
  *source = (struct ts_source){ .fd = fd, .ready = ready };
  if (fd >= 0)
    fcntl (fd, F_SETFL, fcntl (fd, F_GETFL) | O_NONBLOCK);
}

static int
launch_exec (struct ts_exec *exec, const struct ts_container *container, const struct ts_exec_request *request,
             struct ts_failure *failure)
{
  struct ts_stdio stdio;
  int err = ts_open_stdio (&stdio, &request->process, request->stdin_open);

  if (err < 0)
    ts_fail_step (failure, -err, "open stdio");
  else
    err = clone_joiner (exec, container, &request->process, &stdio, failure);
  if (err == 0)
    {
      ts_begin_input (exec->shim, &exec->input, steal_fd (&stdio.in[1]));
      begin_source (&exec->out, steal_fd (&stdio.out[0]), out_ready);
      begin_source (&exec->err, steal_fd (&stdio.err[0]), err_ready);
    }
  ts_close_stdio (&stdio);
  return err;
}

void
ts_start_exec (struct ts_connection *connection, struct ts_exec_request *request)
{
  struct ts_container *container = ts_find_container (connection->shim, request->container);
  struct ts_failure failure = { 0 };
  struct ts_exec *exec = NULL;
  int err = 0;

  if (!container || container->phase != TS_RUNNING || connection->shim->stopping)
    err = ts_refuse (&failure, TS_NOT_FOUND, ESRCH, "exec", "container %s does not run", request->container);
  else if (!(exec = calloc (1, sizeof *exec)))
    err = ts_fail_step (&failure, ENOMEM, "exec");
  if (exec)
    {
      exec->shim = connection->shim;
      exec->request = connection->frame.request;
      exec->launch = (struct ts_launch){ .shim = connection->shim, .channel.fd = -1 };
      exec->out.fd = exec->err.fd = exec->terminal = -1;
      exec->input = (struct ts_input){ .shim = connection->shim, .source.fd = -1 };
      err = launch_exec (exec, container, request, &failure);
    }
  if (err < 0)
    {
      ts_send_failure (connection, connection->frame.request, &failure);
      if (exec)
        free_exec (exec);
      return;
    }
  exec->connection = connection;
  connection->exec = exec;
  exec->next = connection->shim->execs;
  connection->shim->execs = exec;
}

static void
take_terminal (struct ts_exec *exec, int terminal)
{
  int input = fcntl (terminal, F_DUPFD_CLOEXEC, 0);

  exec->terminal = fcntl (terminal, F_DUPFD_CLOEXEC, 0);
  ts_begin_input (exec->shim, &exec->input, input);
  begin_source (&exec->out, terminal, out_ready);
}

static void
exec_launched (struct ts_launch *launch)
{
  struct ts_exec *exec = ts_owner (launch, struct ts_exec, launch);
  struct ts_buffer frame = { 0 };
  size_t begin;

  if (launch->terminal >= 0)
    take_terminal (exec, launch->terminal);
  launch->terminal = -1;
  if (launch->failed)
    {
      if (exec->connection)
        ts_send_failure (exec->connection, exec->request, &launch->failure);
      free_exec (exec);
      return;
    }
  exec->pid = launch->pid;
  if (!exec->connection)
    {
      ts_kill_exec (exec);
      return;
    }
  begin = ts_begin_frame (&frame, TS_FRAME_EXEC_STARTED, exec->request);
  ts_put_u32 (&frame, TS_TAG_PID, (uint32_t) exec->pid);
  ts_end_frame (&frame, begin);
  ts_send (exec->connection, &frame);
  ts_watch (exec->shim->epoll, &exec->out, EPOLLIN);
  ts_watch (exec->shim->epoll, &exec->err, EPOLLIN);
}

/* ---- end ---- */

void
ts_kill_exec (const struct ts_exec *exec)
{
  /* It leads a session: a shell that is killed takes along what it waits for. */
  if (kill (-exec->pid, SIGKILL) < 0)
    kill (exec->pid, SIGKILL);
}

void
ts_exec_ended (struct ts_exec *exec, int status)
{
  exec->ended = true;
  exec->exit_code = ts_exit_code (status);
  ts_close_input (&exec->input);
  ts_resume_exec (exec);
}

void
ts_leave_exec (struct ts_connection *connection)
{
  struct ts_exec *exec = connection->exec;

  if (!exec)
    return;
  connection->exec = NULL;
  exec->connection = NULL;
  exec->input.from = NULL;
  if (exec->ended)
    {
      ts_resume_exec (exec);
      return;
    }
  ts_close_input (&exec->input);
  /* Not reaped yet, so the pid is still its; one that is not known yet is killed when it is. */
  if (exec->pid > 0)
    ts_kill_exec (exec);
}

/* Finding and executing the command, inside the container and as its user. */
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "container/channel.h"
#include "container/init.h"
#include "container/process.h"
#include "container/setup.h"
#include "container/syscalls.h"

static const char default_path[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

int
ts_enter_cwd (const char *cwd, struct ts_failure *failure)
{
  char where[PATH_MAX];
  /* A link in /proc could lead to a descriptor of the node (CVE-2024-21626). */
  int fd = sys_openat2 (AT_FDCWD, cwd, O_PATH | O_DIRECTORY, RESOLVE_NO_MAGICLINKS);

  if (fd < 0 || fchdir (fd) < 0)
    return ts_refuse (failure, TS_INVALID_ARGUMENT, errno, "enter working directory", "%s", cwd);
  close (fd);
  if (syscall (SYS_getcwd, where, sizeof where) < 0 || *where != '/')
    return ts_refuse (failure, TS_INVALID_ARGUMENT, EXDEV, "enter working directory", "%s is outside the container",
                      cwd);
  return 0;
}

static const char *
find_path (char *const *env)
{
  for (; *env; env++)
    if (strncmp (*env, "PATH=", 5) == 0)
      return *env + 5;
  return default_path;
}

/* As execvp: the first that can be executed wins; one that may not be is remembered over those that are missing. */
static int
exec_in_path (char *const *argv, char *const *env)
{
  const char *name = argv[0];
  const char *entry = find_path (env);
  char path[PATH_MAX];
  int seen = ENOENT;

  for (;;)
    {
      size_t size = strcspn (entry, ":");

      if (snprintf (path, sizeof path, "%.*s%s%s", (int) size, entry, size ? "/" : "./", name) < (int) sizeof path)
        execve (path, argv, env);
      else
        errno = ENAMETOOLONG;
      if (errno != ENOENT && errno != ENOTDIR && errno != EACCES && errno != ENAMETOOLONG)
        return errno;
      if (errno == EACCES)
        seen = EACCES;
      if (!entry[size])
        return seen;
      entry += size + 1;
    }
}

int
ts_exec_command (char *const *argv, char *const *env, int tools, struct ts_failure *failure)
{
  const char *name = argv[0];
  int error;

  if (strchr (name, '/'))
    {
      execve (name, argv, env);
      error = errno;
    }
  else
    error = *name ? exec_in_path (argv, env) : ENOENT;

  if (tools >= 0 && (error == ENOENT || error == ENOTDIR))
    {
      syscall (SYS_execveat, tools, "", argv, env, AT_EMPTY_PATH);
      return ts_fail (failure, errno, "exec", "%s of the node", name);
    }
  if (error == ENOENT || error == ENOTDIR)
    return ts_refuse (failure, TS_COMMAND_NOT_FOUND, error, "exec", "%s", name);
  if (error == EACCES || error == ENOEXEC || error == EISDIR || error == EPERM || error == ELIBBAD)
    return ts_refuse (failure, TS_COMMAND_NOT_EXECUTABLE, error, "exec", "%s", name);
  return ts_fail (failure, error, "exec", "%s", name);
}

const int ts_ignored_signals[] = { SIGHUP, SIGINT, SIGPIPE, SIGTERM, 0 };

/* What is ignored stays so over execve, and the shim was started with nothing ignored. */
static void
reset_signals (void)
{
  sigset_t none;

  for (const int *number = ts_ignored_signals; *number; number++)
    signal (*number, SIG_DFL);
  sigemptyset (&none);
  sigprocmask (SIG_SETMASK, &none, NULL);
}

int
ts_become_command (const struct ts_process *process, const struct ts_security *security, int tools,
                   struct ts_failure *failure)
{
  int err;

  umask (0022);
  reset_signals ();
  err = ts_set_rlimits (security, failure);
  if (err == 0)
    err = ts_drop_privileges (process, security, failure);
  if (err < 0)
    return err;
  return process->init ? ts_exec_init (process, failure)
                       : ts_exec_command (process->argv, process->env, tools, failure);
}

void
ts_give_up (const struct ts_failure *failure)
{
  ts_channel_send (TS_CHANNEL_FD, TS_REPORT_FAILED, failure, -1);
  _exit (127);
}

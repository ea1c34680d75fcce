#include "supervise.h"

#include "file.h"
#include "link.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

enum
{
  FIRST_PAUSE_MS = 100,
  LONGEST_PAUSE_MS = 5000,
  /* A command that has run so long is healthy: its next end starts the pauses anew. */
  HEALTHY_AFTER_MS = 10000,
  LARGE_LOG_BYTES = 64 * 1024 * 1024,
};

/* The running state, beside what the caller gave. */
struct watch
{
  struct supervisor *supervisor;
  int signals;
  /* Readable when addresses change, or -1 when nothing is waited for any more. */
  int addresses;
  /* 0: does not run. */
  pid_t child;
  long long started_ms;
  /* When to start it (again). */
  long long start_at_ms;
  int pause_ms;
  bool stopping;
};

static long long
now_ms (void)
{
  struct timespec now;

  clock_gettime (CLOCK_BOOTTIME, &now);
  return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* One JSON line, as the programs that are supervised write them. */
static void __attribute__ ((format (printf, 1, 2))) say (const char *message, ...)
{
  char text[512];
  struct timespec now;
  va_list args;

  va_start (args, message);
  vsnprintf (text, sizeof text, message, args);
  va_end (args);
  clock_gettime (CLOCK_REALTIME, &now);
  dprintf (STDERR_FILENO, "{\"level\":40,\"time\":%lld,\"name\":\"tessera-host\",\"msg\":\"%s\"}\n",
           now.tv_sec * 1000LL + now.tv_nsec / 1000000, text);
}

int
supervise_open_log (const struct supervisor *supervisor, struct failure *failure)
{
  struct stat info;
  char old[300];

  if (fstatat (supervisor->log_folder, supervisor->log_name, &info, 0) == 0 && info.st_size > LARGE_LOG_BYTES)
    {
      snprintf (old, sizeof old, "%s.1", supervisor->log_name);
      (void)renameat (supervisor->log_folder, supervisor->log_name, supervisor->log_folder, old);
    }
  cleanup_close int null = open ("/dev/null", O_RDONLY | O_CLOEXEC);
  cleanup_close int log = openat (supervisor->log_folder, supervisor->log_name,
                                  O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOFOLLOW, 0640);
  if (null < 0)
    return fail (failure, errno, "open /dev/null");
  if (log < 0)
    return fail (failure, errno, "open log file %s", supervisor->log_name);
  if (dup2 (null, STDIN_FILENO) < 0 || dup2 (log, STDOUT_FILENO) < 0 || dup2 (log, STDERR_FILENO) < 0)
    return fail (failure, errno, "redirect to log file %s", supervisor->log_name);
  return 0;
}

static void
fill_signals (sigset_t *set)
{
  sigemptyset (set);
  sigaddset (set, SIGCHLD);
  sigaddset (set, SIGTERM);
  sigaddset (set, SIGINT);
}

void
supervise_block_signals (void)
{
  sigset_t set;

  fill_signals (&set);
  sigprocmask (SIG_SETMASK, &set, NULL);
}

/* The child's half: says who it is on the pipe and becomes the command. */
static void __attribute__ ((noreturn)) become_command (const struct supervisor *supervisor, int pipe)
{
  struct identity identity = { 0 };
  sigset_t none;
  char **command = supervisor->options->command;

  /* In a node the end of PID 1 takes everybody along. A service has nobody who would watch it any more. */
  if (!supervisor->options->is_node)
    prctl (PR_SET_PDEATHSIG, SIGTERM);
  (void)identity_read (supervisor->proc, &identity);
  if (write (pipe, &identity, sizeof identity) != sizeof identity)
    _exit (126);
  setsid ();
  sigemptyset (&none);
  sigprocmask (SIG_SETMASK, &none, NULL);
  execvp (command[0], command);
  say ("start %s: %s", command[0], strerror (errno));
  _exit (127);
}

static void
note_start (struct watch *watch, pid_t child, int pipe)
{
  struct state *state = &watch->supervisor->state;
  struct failure failure;

  watch->child = child;
  watch->started_ms = now_ms ();
  state->starts++;
  if (read (pipe, &state->command, sizeof state->command) != sizeof state->command)
    state->command = (struct identity){ 0 };
  if (state_write (state, &failure) < 0)
    say ("%s", failure.text);
}

static void
start_command (struct watch *watch)
{
  struct failure failure;
  int ends[2];

  /* Only now: the log may have to be moved aside. */
  if (supervise_open_log (watch->supervisor, &failure) < 0)
    say ("%s", failure.text);
  if (pipe2 (ends, O_CLOEXEC) < 0)
    {
      say ("make a pipe: %s", strerror (errno));
      watch->start_at_ms = now_ms () + LONGEST_PAUSE_MS;
      return;
    }
  pid_t child = fork ();
  if (child == 0)
    become_command (watch->supervisor, ends[1]);
  close (ends[1]);
  if (child > 0)
    note_start (watch, child, ends[0]);
  else
    {
      say ("fork: %s", strerror (errno));
      watch->start_at_ms = now_ms () + LONGEST_PAUSE_MS;
    }
  close (ends[0]);
}

static void
note_end (struct watch *watch, int status)
{
  struct state *state = &watch->supervisor->state;
  struct failure failure;
  const char *program = basename (watch->supervisor->options->command[0]);
  const bool was_healthy = now_ms () - watch->started_ms >= HEALTHY_AFTER_MS;

  watch->child = 0;
  state->command = (struct identity){ 0 };
  if (state_write (state, &failure) < 0)
    say ("%s", failure.text);
  if (watch->stopping)
    return;
  watch->pause_ms = was_healthy || watch->pause_ms == 0 ? FIRST_PAUSE_MS : watch->pause_ms * 2;
  if (watch->pause_ms > LONGEST_PAUSE_MS)
    watch->pause_ms = LONGEST_PAUSE_MS;
  watch->start_at_ms = now_ms () + watch->pause_ms;
  if (WIFSIGNALED (status))
    say ("%s was ended by signal %d, starting it again in %d ms", program, WTERMSIG (status),
         watch->pause_ms);
  else
    say ("%s ended with exit code %d, starting it again in %d ms", program, WEXITSTATUS (status),
         watch->pause_ms);
}

/* Returns false when there is no child at all. */
static bool
reap (struct watch *watch)
{
  int status;
  pid_t pid;

  while ((pid = waitpid (-1, &status, WNOHANG)) > 0)
    if (pid == watch->child)
      note_end (watch, status);
  return pid == 0;
}

/* Waits until a signal, an address or the time comes, and takes the news in. */
static void
wait_for_news (struct watch *watch, long long until_ms)
{
  struct pollfd fds[]
      = { { .fd = watch->signals, .events = POLLIN }, { .fd = watch->addresses, .events = POLLIN } };
  struct signalfd_siginfo info;
  long long left = until_ms < 0 ? -1 : until_ms - now_ms ();

  if (until_ms >= 0 && left < 0)
    left = 0;
  (void)poll (fds, 2, (int)left);
  if (fds[1].revents != 0)
    link_watch_drain (watch->addresses);
  while (read (watch->signals, &info, sizeof info) == sizeof info)
    if (info.ssi_signo != SIGCHLD)
      watch->stopping = true;
  reap (watch);
}

/* What systemd calls the control group's kill mode: what the command left behind ends before it is started
 * again. */
static void
end_leftovers (struct watch *watch)
{
  const struct options *options = watch->supervisor->options;
  const long long deadline = now_ms () + options->grace_ms;

  if (cgroup_signal (watch->supervisor->hierarchies, options->cgroup, SIGTERM) == 0)
    return;
  for (;;)
    {
      int signal = now_ms () < deadline ? 0 : SIGKILL;
      if (cgroup_signal (watch->supervisor->hierarchies, options->cgroup, signal) == 0)
        return;
      /* Those that are not our children send no signal when they end: look again soon. */
      wait_for_news (watch, now_ms () + 20);
    }
}

static void
stop (struct watch *watch)
{
  const long long deadline = now_ms () + watch->supervisor->options->grace_ms;

  if (watch->child != 0)
    kill (watch->child, SIGTERM);
  while (watch->child != 0 && now_ms () < deadline)
    wait_for_news (watch, deadline);
  if (watch->child != 0)
    kill (watch->child, SIGKILL);
  if (watch->supervisor->options->is_node)
    kill (-1, SIGKILL);
  else
    end_leftovers (watch);
  while (waitpid (-1, NULL, 0) > 0 || errno == EINTR)
    ;
}

static void
stop_awaiting (struct watch *watch)
{
  if (watch->addresses >= 0)
    close (watch->addresses);
  watch->addresses = -1;
}

int
supervise (struct supervisor *supervisor)
{
  struct watch watch = { .supervisor = supervisor, .addresses = -1 };
  const char *link = supervisor->options->await_address;
  struct failure failure;
  sigset_t set;

  fill_signals (&set);
  watch.signals = signalfd (-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (watch.signals < 0)
    {
      say ("signalfd: %s", strerror (errno));
      return 1;
    }
  if (link != NULL && (watch.addresses = link_watch_open (&failure)) < 0)
    say ("%s", failure.text);
  while (!watch.stopping)
    {
      if (link != NULL && link_has_address (link))
        {
          stop_awaiting (&watch);
          link = NULL;
        }
      const bool wanted = watch.child == 0 && link == NULL;
      if (wanted && now_ms () >= watch.start_at_ms)
        {
          if (!supervisor->options->is_node && supervisor->state.starts > 0)
            end_leftovers (&watch);
          if (!watch.stopping)
            start_command (&watch);
          continue;
        }
      wait_for_news (&watch, wanted ? watch.start_at_ms : -1);
    }
  stop (&watch);
  stop_awaiting (&watch);
  state_remove (&supervisor->state);
  close (watch.signals);
  return 0;
}

/* The guest's first process. It loads the modules that /modules.list names, in order, mounts the disk, makes it the
   root and runs /guest/start there; meanwhile it reaps, as a machine's init does. Then it tells how that ended, and ends
   the machine. What it says begins with '@', as everything that the host reads does. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum
{
  DISK_WAIT_MS = 20000,
};

static _Noreturn void
end_machine (void)
{
  sync ();
  reboot (RB_AUTOBOOT);
  for (;;)
    pause ();
}

static _Noreturn void
give_up (const char *step)
{
  printf ("\n@{\"event\":\"failed\",\"step\":\"%s\",\"error\":\"%s\"}\n", step, strerror (errno));
  fflush (stdout);
  end_machine ();
}

static void
load_modules (void)
{
  FILE *list = fopen ("/modules.list", "re");
  char path[256];

  if (!list)
    give_up ("read modules.list");
  while (fgets (path, sizeof path, list))
    {
      int fd;

      path[strcspn (path, "\n")] = '\0';
      fd = open (path, O_RDONLY | O_CLOEXEC);
      if (fd < 0 || (syscall (SYS_finit_module, fd, "", 0) < 0 && errno != EEXIST))
        give_up (path);
      close (fd);
    }
  fclose (list);
}

/* The driver finds its disk a moment after it was loaded. */
static void
await_disk (void)
{
  const struct timespec moment = { .tv_nsec = 5000000 };

  for (int waited = 0; access ("/dev/vda", F_OK) < 0; waited += 5)
    {
      if (waited > DISK_WAIT_MS)
        give_up ("wait for /dev/vda");
      nanosleep (&moment, NULL);
    }
}

static void
mount_or_give_up (const char *source, const char *target, const char *type, unsigned long flags)
{
  if (mount (source, target, type, flags, NULL) < 0)
    give_up (target);
}

static void
enter_disk (void)
{
  mount_or_give_up ("/dev/vda", "/disk", "ext4", 0);
  mount_or_give_up ("/dev", "/disk/dev", NULL, MS_MOVE);
  if (chdir ("/disk") < 0)
    give_up ("enter /disk");
  mount_or_give_up (".", "/", NULL, MS_MOVE);
  if (chroot (".") < 0 || chdir ("/") < 0)
    give_up ("change root");
}

static pid_t
start_guest (void)
{
  char *const argv[] = { "/guest/start", NULL };
  char *const env[] = { "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", NULL };
  pid_t pid = fork ();

  if (pid < 0)
    give_up ("fork");
  if (pid > 0)
    return pid;
  setsid ();
  execve (argv[0], argv, env);
  give_up ("/guest/start");
}

int
main (void)
{
  pid_t guest, ended;
  int status;

  mkdir ("/dev", 0755);
  mkdir ("/disk", 0755);
  mount ("dev", "/dev", "devtmpfs", 0, NULL);
  for (int fd = 0; fd < 3; fd++)
    {
      close (fd);
      if (open ("/dev/console", O_RDWR) < 0)
        end_machine ();
    }
  printf ("\n@{\"event\":\"booted\"}\n");
  fflush (stdout);
  load_modules ();
  await_disk ();
  enter_disk ();
  guest = start_guest ();
  while ((ended = wait (&status)) != guest)
    if (ended < 0 && errno != EINTR)
      give_up ("wait");
  printf ("\n@{\"event\":\"ended\",\"status\":%d}\n", status);
  fflush (stdout);
  end_machine ();
}

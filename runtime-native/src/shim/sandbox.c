/* The namespaces of the pod. The network namespace is the one the shim was started in; the mount and pid namespace
   stay the node's, where the log files and layers are. A pid namespace that the containers share is pod-init.c's. */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "container/syscalls.h"
#include "lib/cleanup.h"
#include "shim/shim.h"

#define PROC_MAGIC 0x9fa0

enum
{
  KEYCTL_JOIN_SESSION = 1,
};

static bool
starts_with (const char *text, const char *start)
{
  return strncmp (text, start, strlen (start)) == 0;
}

/* Only what belongs to a namespace that is the pod's own: anything else would change the node. */
static bool
is_own_sysctl (const char *name, size_t size, const struct ts_sandbox_options *options)
{
  if (strspn (name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/") < size
      || memmem (name, size, "..", 2) || memmem (name, size, "//", 2))
    return false;
  if (starts_with (name, "net.") || starts_with (name, "net/"))
    return !options->host_network;
  if (starts_with (name, "kernel.shm") || starts_with (name, "kernel.msg") || starts_with (name, "kernel.sem=")
      || starts_with (name, "fs.mqueue."))
    return !options->host_ipc;
  return false;
}

static int
write_sysctl (const char *path, const char *value, struct ts_failure *failure)
{
  cleanup_close int fd = sys_open (path, O_WRONLY | O_NOFOLLOW);
  struct statfs fs;

  if (fd < 0 || fstatfs (fd, &fs) < 0)
    return ts_refuse (failure, TS_INVALID_ARGUMENT, errno, "open sysctl", "%s", path);
  if (fs.f_type != PROC_MAGIC)
    return ts_fail (failure, EXDEV, "open sysctl", "%s", path);
  if (write (fd, value, strlen (value)) < 0)
    return ts_refuse (failure, TS_INVALID_ARGUMENT, errno, "write sysctl", "%s = %s", path, value);
  return 0;
}

/* "net.ipv4.ip_forward=1"; a dot separates folders, and so does a slash. */
static int
set_sysctl (const char *setting, const struct ts_sandbox_options *options, struct ts_failure *failure)
{
  static const char folder[] = "/proc/sys/";
  const char *value = strchr (setting, '=');
  char path[256];
  size_t size = value ? (size_t) (value - setting) : 0;

  if (size == 0 || size + sizeof folder > sizeof path || !is_own_sysctl (setting, size, options))
    return ts_refuse (failure, TS_INVALID_ARGUMENT, EINVAL, "set sysctl", "%s is not one of the pod's own", setting);
  snprintf (path, sizeof path, "%s%.*s", folder, (int) size, setting);
  if (!memchr (setting, '/', size))
    for (char *dot = path + sizeof folder - 1; (dot = strchr (dot, '.'));)
      *dot = '/';
  return write_sysctl (path, value + 1, failure);
}

/* Shared by the pod's containers over their restarts. In the node's mount namespace, so that each container can take
   a clone; whoever removes the sandbox after a crash unmounts it. */
static int
mount_shm (struct ts_shim *shim, const struct ts_sandbox_options *options, struct ts_failure *failure)
{
  char path[PATH_MAX];

  if (options->host_ipc)
    {
      shim->shm = "/dev/shm";
      return 0;
    }
  if (snprintf (path, sizeof path, "%s/shm", options->run_dir) >= (int) sizeof path)
    return ts_fail (failure, ENAMETOOLONG, "make shared memory folder", "%s", options->run_dir);
  if (mkdir (path, 0700) < 0 && errno != EEXIST)
    return ts_fail (failure, errno, "make shared memory folder", "%s", path);
  if (mount ("shm", path, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=1777,size=64m") < 0)
    return ts_fail (failure, errno, "mount shared memory", "%s", path);
  shim->shm = strdup (path);
  return shim->shm ? 0 : ts_fail_step (failure, ENOMEM, "mount shared memory");
}

static int
become_parent (struct ts_failure *failure)
{
  cleanup_close int oom = sys_open ("/proc/self/oom_score_adj", O_WRONLY);

  /* Lost with us would be the whole pod. Not every node may lower it. */
  if (oom >= 0 && write (oom, "-998", 4) < 0 && errno != EACCES)
    return ts_fail_step (failure, errno, "set oom_score_adj");
  if (prctl (PR_SET_DUMPABLE, 0) < 0)
    return ts_fail_step (failure, errno, "clear dumpable");
  /* With the node's pid namespace a container's orphans come to us, not to the node's init. */
  if (prctl (PR_SET_CHILD_SUBREAPER, 1) < 0)
    return ts_fail_step (failure, errno, "become subreaper");
  /* The containers inherit it: not the agent's. A kernel without keys has none to protect. */
  if (syscall (SYS_keyctl, KEYCTL_JOIN_SESSION, NULL) < 0 && errno != ENOSYS && errno != EPERM)
    return ts_fail_step (failure, errno, "join session keyring");
  return 0;
}

int
ts_enter_sandbox (const struct ts_sandbox_options *options, struct ts_shim *shim, struct ts_failure *failure)
{
  int err = become_parent (failure);

  if (err < 0)
    return err;
  if (unshare (CLONE_NEWUTS | (options->host_ipc ? 0 : CLONE_NEWIPC)) < 0)
    return ts_fail_step (failure, errno, "make namespaces");
  if (sethostname (options->hostname, strlen (options->hostname)) < 0)
    return ts_refuse (failure, TS_INVALID_ARGUMENT, errno, "set hostname", "%s", options->hostname);
  for (char *const *setting = options->sysctls; err == 0 && *setting; setting++)
    err = set_sysctl (*setting, options, failure);
  if (err == 0)
    err = mount_shm (shim, options, failure);
  if (err == 0 && options->share_pids)
    err = ts_start_pod_init (options, shim, failure);
  return err;
}

static void
unmount (const struct ts_shim *shim, const char *path, const char *name)
{
  if (umount2 (path, MNT_DETACH | UMOUNT_NOFOLLOW) == 0)
    unlinkat (shim->run_dirfd, name, AT_REMOVEDIR);
}

void
ts_leave_sandbox (struct ts_shim *shim)
{
  unlinkat (shim->run_dirfd, "shim.sock", 0);
  if (starts_with (shim->shm, shim->run_dir))
    unmount (shim, shim->shm, "shm");
  if (shim->pod_init.proc)
    unmount (shim, shim->pod_init.proc, "proc");
}

/* System calls that musl does not wrap. Linux 5.14 or newer is needed (mount_setattr, close_range with CLOEXEC). */
#ifndef TS_CONTAINER_SYSCALLS_H
#define TS_CONTAINER_SYSCALLS_H

#include <fcntl.h>
#include <linux/mount.h>
#include <linux/openat2.h>
#include <sched.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

/* musl's own open() sets FD_CLOEXEC by one more call, for kernels that do not know the flag. */
static inline int
sys_open (const char *path, int flags)
{
  return openat (AT_FDCWD, path, flags | O_CLOEXEC);
}

static inline int
sys_openat2 (int dirfd, const char *path, uint64_t flags, uint64_t resolve)
{
  struct open_how how = { .flags = flags | O_CLOEXEC, .resolve = resolve };

  return (int) syscall (SYS_openat2, dirfd, path, &how, sizeof how);
}

static inline int
sys_fsopen (const char *type)
{
  return (int) syscall (SYS_fsopen, type, FSOPEN_CLOEXEC);
}

static inline int
sys_fsconfig (int fd, enum fsconfig_command command, const char *key, const char *value)
{
  return (int) syscall (SYS_fsconfig, fd, command, key, value, 0);
}

static inline int
sys_fsmount (int fd, unsigned attributes)
{
  return (int) syscall (SYS_fsmount, fd, FSMOUNT_CLOEXEC, attributes);
}

static inline int
sys_open_tree (int dirfd, const char *path, unsigned flags)
{
  return (int) syscall (SYS_open_tree, dirfd, path, flags | OPEN_TREE_CLOEXEC);
}

static inline int
sys_move_mount (int from, int to_dirfd, const char *to)
{
  unsigned flags = MOVE_MOUNT_F_EMPTY_PATH | (*to ? 0 : MOVE_MOUNT_T_EMPTY_PATH);

  return (int) syscall (SYS_move_mount, from, "", to_dirfd, to, flags);
}

static inline int
sys_mount_setattr (int fd, unsigned flags, struct mount_attr *attributes)
{
  return (int) syscall (SYS_mount_setattr, fd, "", flags | AT_EMPTY_PATH, attributes, sizeof *attributes);
}

static inline int
sys_pivot_root (const char *new_root, const char *put_old)
{
  return (int) syscall (SYS_pivot_root, new_root, put_old);
}

static inline int
sys_close_range (unsigned first, unsigned flags)
{
  return (int) syscall (SYS_close_range, first, ~0U, flags);
}

static inline int
sys_pidfd_open (pid_t pid)
{
  return (int) syscall (SYS_pidfd_open, pid, 0);
}

/* A fork: no stack is given, so the child goes on with a copy of the caller's. *pidfd may be NULL without CLONE_PIDFD.
 */
static inline pid_t
sys_clone (uint64_t flags, int *pidfd)
{
  return (pid_t) syscall (SYS_clone, flags, NULL, pidfd, NULL, NULL);
}

#endif

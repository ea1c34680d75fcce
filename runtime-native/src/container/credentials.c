#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/stat.h>

#include "container/channel.h"
#include "container/process.h"
#include "container/setup.h"
#include "container/syscalls.h"

enum
{
  CAP_COUNT = 64,
};

/* EINVAL says that the kernel has no capability of this number and above. */
static int
drop_bounding_set (uint64_t keep, struct ts_failure *failure)
{
  for (unsigned cap = 0; cap < CAP_COUNT; cap++)
    if (!(keep >> cap & 1) && prctl (PR_CAPBSET_DROP, cap) < 0)
      return errno == EINVAL ? 0 : ts_fail (failure, errno, "drop bounding capability", "%u", cap);
  return 0;
}

/* Permitted and effective; inheritable stays empty (CVE-2022-24769 and its kin), and ambient with it. */
static int
set_capabilities (uint64_t caps, struct ts_failure *failure)
{
  struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
  struct __user_cap_data_struct data[2] = {
    { .permitted = (uint32_t) caps, .effective = (uint32_t) caps },
    { .permitted = (uint32_t) (caps >> 32), .effective = (uint32_t) (caps >> 32) },
  };

  if (syscall (SYS_capset, &header, data) < 0)
    return ts_fail (failure, errno, "set capabilities", "%llx", (unsigned long long) caps);
  return 0;
}

/* What we have ourselves: a node may lack some (CAP_SYS_RESOURCE in a container), and nobody can be given those. */
static int
get_permitted (uint64_t *caps, struct ts_failure *failure)
{
  struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
  struct __user_cap_data_struct data[2];

  if (syscall (SYS_capget, &header, data) < 0)
    return ts_fail_step (failure, errno, "get capabilities");
  *caps = data[0].permitted | (uint64_t) data[1].permitted << 32;
  return 0;
}

/* By system call: musl's wrappers signal all threads, of which there is one. */
static int
change_user (const struct ts_process *process, struct ts_failure *failure)
{
  if (setgroups (process->group_count, process->groups) < 0)
    return ts_fail (failure, errno, "set supplementary groups", "%zu of them", process->group_count);
  if (syscall (SYS_setresgid, process->gid, process->gid, process->gid) < 0)
    return ts_fail (failure, errno, "set group", "%u", (unsigned) process->gid);
  if (prctl (PR_SET_KEEPCAPS, 1) < 0)
    return ts_fail_step (failure, errno, "keep capabilities");
  if (syscall (SYS_setresuid, process->uid, process->uid, process->uid) < 0)
    return ts_fail (failure, errno, "set user", "%u", (unsigned) process->uid);
  if (prctl (PR_SET_KEEPCAPS, 0) < 0)
    return ts_fail_step (failure, errno, "keep capabilities");
  return 0;
}

/* A killed shim takes its processes along. The signal is forgotten when credentials change, so it comes after them;
   a shim that was already gone is noticed when READY cannot be sent. */
static int
tie_to_shim (struct ts_failure *failure)
{
  int err;

  if (prctl (PR_SET_PDEATHSIG, SIGKILL) < 0)
    return ts_fail_step (failure, errno, "tie to the shim");
  err = ts_channel_send (TS_CHANNEL_FD, TS_REPORT_READY, NULL, -1);
  return err < 0 ? ts_fail_step (failure, -err, "report to the shim") : 0;
}

static int
load_seccomp (const struct ts_security *security, struct ts_failure *failure)
{
  struct sock_fprog program = {
    .len = (unsigned short) (security->seccomp_size / sizeof (struct sock_filter)),
    .filter = (struct sock_filter *) (uintptr_t) security->seccomp,
  };

  if (!security->seccomp)
    return 0;
  if (syscall (SYS_seccomp, SECCOMP_SET_MODE_FILTER, security->seccomp_flags, &program) < 0)
    return ts_fail (failure, errno, "load seccomp filter", "%u instructions", program.len);
  return 0;
}

/* Without no_new_privs, loading a filter takes CAP_SYS_ADMIN: it stays until the filter is there, which then must allow
   capset. Otherwise the filter comes last, and need allow nothing but execve; what fails after it can be told only if
   it allows sendmsg. */
static int
load_seccomp_and_set_capabilities (const struct ts_security *security, uint64_t wanted, uint64_t owned,
                                   struct ts_failure *failure)
{
  uint64_t kept = security->no_new_privileges || !security->seccomp ? 0 : owned & 1ULL << CAP_SYS_ADMIN;
  int err = set_capabilities (wanted | kept, failure);

  if (err == 0)
    err = load_seccomp (security, failure);
  if (err == 0 && (wanted | kept) != wanted)
    err = set_capabilities (wanted, failure);
  return err;
}

int
ts_drop_privileges (const struct ts_process *process, const struct ts_security *security, struct ts_failure *failure)
{
  uint64_t wanted = security->capabilities;
  uint64_t owned = 0;
  int err = get_permitted (&owned, failure);

  if (err == 0)
    err = drop_bounding_set (wanted, failure);
  if (err == 0)
    err = change_user (process, failure);
  wanted = process->uid == 0 ? wanted & owned : 0;
  if (err == 0 && security->no_new_privileges && prctl (PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
    err = ts_fail_step (failure, errno, "set no_new_privs");
  if (err == 0)
    err = tie_to_shim (failure);
  if (err == 0)
    err = load_seccomp_and_set_capabilities (security, wanted, owned, failure);
  return err;
}

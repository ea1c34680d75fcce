#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "container/init.h"
#include "container/process.h"
#include "container/syscalls.h"

#if defined(__x86_64__)
#define OWN_ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define OWN_ARCHITECTURE AUDIT_ARCH_AARCH64
#endif

int
ts_exec_pause (struct ts_failure *failure)
{
  static char name[] = TS_PAUSE_NAME;
  static char *const argv[] = { name, NULL };
  static char *const env[] = { NULL };

  syscall (SYS_execveat, TS_PROGRAM_FD, "", argv, env, AT_EMPTY_PATH);
  return ts_fail_step (failure, errno, "run the pod's first process");
}

/* Nothing but waiting: whoever takes the process over, which CAP_SYS_PTRACE in a container of the pod is enough for,
   has gained nothing by it. */
static int
confine (void)
{
  static const struct sock_filter filter[] = {
    BPF_STMT (BPF_LD | BPF_W | BPF_ABS, offsetof (struct seccomp_data, arch)),
    BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, OWN_ARCHITECTURE, 0, 4),
    BPF_STMT (BPF_LD | BPF_W | BPF_ABS, offsetof (struct seccomp_data, nr)),
    BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, SYS_ppoll, 1, 0),
    BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, SYS_restart_syscall, 0, 1),
    BPF_STMT (BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    BPF_STMT (BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
  };
  const struct sock_fprog program
      = { .len = sizeof filter / sizeof *filter, .filter = (struct sock_filter *) (uintptr_t) filter };

  return (int) syscall (SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &program);
}

void
ts_run_pause (void)
{
  prctl (PR_SET_NAME, TS_PAUSE_NAME);
  /* Then the kernel keeps none of our children as a zombie, also none that was one already when it became ours. */
  signal (SIGCHLD, SIG_IGN);
  if (confine () < 0)
    _exit (1);
  for (;;)
    syscall (SYS_ppoll, NULL, 0, NULL, NULL, 0);
}

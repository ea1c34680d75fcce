/* System calls that this glibc does not wrap, and constants its headers may lack. */
#ifndef TS_SYSCALLS_H
#define TS_SYSCALLS_H

#include <linux/openat2.h>
#include <linux/sched.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static inline int
sys_pidfd_open (pid_t pid)
{
  return (int) syscall (SYS_pidfd_open, pid, 0);
}

static inline int
sys_pidfd_send_signal (int pidfd, int signal_number)
{
  return (int) syscall (SYS_pidfd_send_signal, pidfd, signal_number, NULL, 0);
}

static inline int
sys_openat2 (int dirfd, const char *path, const struct open_how *how)
{
  return (int) syscall (SYS_openat2, dirfd, path, how, sizeof *how);
}

/* clone3 that runs entry (arg) on args->stack and ends the new process with its result. glibc has no wrapper
   that gives the child a stack, and CLONE_INTO_CGROUP exists only here. Returns the pid or -errno. */
static inline pid_t
sys_clone3_run (struct clone_args *args, int (*entry) (void *), void *arg)
{
#if defined(__x86_64__)
  long pid;
  register int (*entry_register) (void *) __asm__("r12") = entry;
  register void *arg_register __asm__("r13") = arg;

  __asm__ volatile("syscall\n\t"
                   "test %%rax, %%rax\n\t"
                   "jnz 1f\n\t"
                   "xor %%ebp, %%ebp\n\t"
                   "mov %%r13, %%rdi\n\t"
                   "call *%%r12\n\t"
                   "mov %%eax, %%edi\n\t"
                   "mov %[exit], %%eax\n\t"
                   "syscall\n\t"
                   "hlt\n"
                   "1:"
                   : "=a"(pid)
                   : "a"(SYS_clone3), "D"(args), "S"(sizeof *args), "r"(entry_register),
                     "r"(arg_register), [exit] "i"(SYS_exit_group)
                   : "rcx", "r11", "memory", "cc");
  return (pid_t) pid;
#elif defined(__aarch64__)
  register long result __asm__("x0") = (long) args;
  register long size __asm__("x1") = sizeof *args;
  register long number __asm__("x8") = SYS_clone3;
  register int (*entry_register) (void *) __asm__("x20") = entry;
  register void *arg_register __asm__("x21") = arg;

  __asm__ volatile("svc #0\n\t"
                   "cbnz x0, 1f\n\t"
                   "mov x29, xzr\n\t"
                   "mov x0, x21\n\t"
                   "blr x20\n\t"
                   "mov x8, %[exit]\n\t"
                   "svc #0\n"
                   "1:"
                   : "+r"(result)
                   : "r"(size), "r"(number), "r"(entry_register), "r"(arg_register), [exit] "i"(SYS_exit_group)
                   : "memory", "cc", "x30");
  return (pid_t) result;
#else
#error "clone3 with a stack is not written for this processor"
#endif
}

#endif

#include "lib/seccomp-table.h"

#include <stddef.h>

const char *const allowed_syscalls[] = {
  /* Opening, naming and removing files. */
  "open", "openat", "openat2", "creat", "close", "close_range", "link", "linkat", "unlink", "unlinkat", "symlink",
  "symlinkat", "readlink", "readlinkat", "rename", "renameat", "renameat2", "mkdir", "mkdirat", "rmdir", "mknod",
  "mknodat", "getdents", "getdents64", "readdir", "getcwd", "chdir", "fchdir", "name_to_handle_at",
  /* Reading, writing and what belongs to an open file. */
  "read", "readv", "pread64", "preadv", "preadv2", "write", "writev", "pwrite64", "pwritev", "pwritev2", "lseek",
  "_llseek", "sendfile", "sendfile64", "splice", "tee", "vmsplice", "copy_file_range", "readahead", "fadvise64",
  "fadvise64_64", "arm_fadvise64_64", "sync_file_range", "sync_file_range2", "arm_sync_file_range", "truncate",
  "truncate64", "ftruncate", "ftruncate64", "fallocate", "fsync", "fdatasync", "sync", "syncfs", "flock", "fcntl",
  "fcntl64", "ioctl", "dup", "dup2", "dup3", "pipe", "pipe2", "cachestat",
  /* What a file is and who owns it. */
  "stat", "stat64", "lstat", "lstat64", "fstat", "fstat64", "fstatat64", "newfstatat", "statx", "statfs", "statfs64",
  "fstatfs", "fstatfs64", "oldstat", "oldfstat", "oldlstat", "access", "faccessat", "faccessat2", "chmod", "fchmod",
  "fchmodat", "fchmodat2", "chown", "chown32", "fchown", "fchown32", "fchownat", "lchown", "lchown32", "umask", "utime",
  "utimes", "utimensat", "utimensat_time64", "futimesat", "setxattr", "lsetxattr", "fsetxattr", "setxattrat",
  "getxattr", "lgetxattr", "fgetxattr", "getxattrat", "listxattr", "llistxattr", "flistxattr", "listxattrat",
  "removexattr", "lremovexattr", "fremovexattr", "removexattrat", "inotify_init", "inotify_init1", "inotify_add_watch",
  "inotify_rm_watch", "fanotify_mark",
  /* Waiting for descriptors. */
  "poll", "ppoll", "ppoll_time64", "select", "_newselect", "pselect6", "pselect6_time64", "epoll_create",
  "epoll_create1", "epoll_ctl", "epoll_ctl_old", "epoll_wait", "epoll_wait_old", "epoll_pwait", "epoll_pwait2",
  "eventfd", "eventfd2", "io_setup", "io_destroy", "io_submit", "io_cancel", "io_getevents", "io_pgetevents",
  "io_pgetevents_time64",
  /* Memory. */
  "brk", "mmap", "mmap2", "munmap", "mprotect", "pkey_alloc", "pkey_free", "pkey_mprotect", "mremap", "msync",
  "mincore", "madvise", "mlock", "mlock2", "mlockall", "munlock", "munlockall", "mseal", "map_shadow_stack",
  "memfd_create", "memfd_secret", "remap_file_pages", "membarrier", "process_mrelease", "modify_ldt", "cacheflush",
  "set_tls", "breakpoint",
  /* Processes and threads. clone has conditions of its own, clone3 cannot be looked into and is not here. */
  "fork", "vfork", "execve", "execveat", "exit", "exit_group", "wait4", "waitid", "waitpid", "getpid", "getppid",
  "gettid", "getpgid", "getpgrp", "setpgid", "getsid", "setsid", "prctl", "arch_prctl", "set_tid_address",
  "set_thread_area", "get_thread_area", "set_robust_list", "get_robust_list", "rseq", "futex", "futex_time64",
  "futex_wait", "futex_wake", "futex_requeue", "futex_waitv", "restart_syscall", "pidfd_open", "ptrace",
  "process_vm_readv", "process_vm_writev", "seccomp", "landlock_create_ruleset", "landlock_add_rule",
  "landlock_restrict_self", "capget", "capset", "lsm_get_self_attr", "lsm_list_modules", "lsm_set_self_attr",
  "uretprobe", "riscv_flush_icache", "riscv_hwprobe",
  /* Signals. */
  "kill", "tkill", "tgkill", "pidfd_send_signal", "rt_sigaction", "rt_sigpending", "rt_sigprocmask", "rt_sigqueueinfo",
  "rt_tgsigqueueinfo", "rt_sigreturn", "rt_sigsuspend", "rt_sigtimedwait", "rt_sigtimedwait_time64", "sigaction",
  "signal", "sigpending", "sigprocmask", "sigreturn", "sigsuspend", "sgetmask", "ssetmask", "sigaltstack", "signalfd",
  "signalfd4", "pause", "alarm",
  /* Users and groups. */
  "getuid", "getuid32", "geteuid", "geteuid32", "getgid", "getgid32", "getegid", "getegid32", "getresuid",
  "getresuid32", "getresgid", "getresgid32", "getgroups", "getgroups32", "setuid", "setuid32", "setgid", "setgid32",
  "setreuid", "setreuid32", "setregid", "setregid32", "setresuid", "setresuid32", "setresgid", "setresgid32",
  "setgroups", "setgroups32", "setfsuid", "setfsuid32", "setfsgid", "setfsgid32",
  /* Time. Setting the clock by adjtimex wants a capability, which the kernel checks; reading is common. */
  "time", "gettimeofday", "clock_gettime", "clock_gettime64", "clock_getres", "clock_getres_time64", "clock_nanosleep",
  "clock_nanosleep_time64", "nanosleep", "adjtimex", "clock_adjtime", "clock_adjtime64", "times", "getitimer",
  "setitimer", "timer_create", "timer_delete", "timer_getoverrun", "timer_gettime", "timer_gettime64", "timer_settime",
  "timer_settime64", "timerfd_create", "timerfd_gettime", "timerfd_gettime64", "timerfd_settime", "timerfd_settime64",
  /* Scheduling and resource limits. */
  "nice", "getpriority", "setpriority", "ioprio_get", "ioprio_set", "sched_yield", "sched_getparam", "sched_setparam",
  "sched_getscheduler", "sched_setscheduler", "sched_get_priority_max", "sched_get_priority_min",
  "sched_rr_get_interval", "sched_rr_get_interval_time64", "sched_getaffinity", "sched_setaffinity", "sched_getattr",
  "sched_setattr", "getrlimit", "ugetrlimit", "setrlimit", "prlimit64", "getrusage", "getcpu", "sysinfo", "uname",
  "olduname", "oldolduname",
  /* Sockets. socket itself is looked into before this list. */
  "socket", "socketcall", "socketpair", "bind", "listen", "accept", "accept4", "connect", "shutdown", "getsockname",
  "getpeername", "getsockopt", "setsockopt", "send", "sendto", "sendmsg", "sendmmsg", "recv", "recvfrom", "recvmsg",
  "recvmmsg", "recvmmsg_time64",
  /* System V and POSIX IPC, of the pod's own IPC namespace. */
  "ipc", "shmget", "shmat", "shmdt", "shmctl", "semget", "semop", "semctl", "semtimedop", "semtimedop_time64", "msgget",
  "msgsnd", "msgrcv", "msgctl", "mq_open", "mq_unlink", "mq_notify", "mq_getsetattr", "mq_timedsend",
  "mq_timedsend_time64", "mq_timedreceive", "mq_timedreceive_time64",
  /* Others. */
  "getrandom", NULL
};

#define NAMES(...) \
  (const char *const[]) { __VA_ARGS__, NULL }

const struct capability_syscalls capability_syscalls[] = {
  { "SYS_ADMIN", NAMES ("mount", "umount", "umount2", "mount_setattr", "move_mount", "open_tree", "fsopen", "fsconfig",
                        "fsmount", "fspick", "statmount", "listmount", "pivot_root", "setns", "unshare", "clone",
                        "clone3", "sethostname", "setdomainname", "quotactl", "quotactl_fd", "fanotify_init",
                        "lookup_dcookie", "bpf", "perf_event_open", "syslog") },
  { "SYS_BOOT", NAMES ("reboot") },
  { "SYS_CHROOT", NAMES ("chroot") },
  { "SYS_MODULE", NAMES ("init_module", "finit_module", "delete_module") },
  { "SYS_NICE",
    NAMES ("mbind", "get_mempolicy", "set_mempolicy", "set_mempolicy_home_node", "migrate_pages", "move_pages") },
  { "SYS_PACCT", NAMES ("acct") },
  { "SYS_PTRACE", NAMES ("kcmp", "pidfd_getfd", "process_madvise") },
  { "SYS_RAWIO", NAMES ("iopl", "ioperm") },
  { "SYS_TIME", NAMES ("settimeofday", "stime", "clock_settime", "clock_settime64") },
  { "SYS_TTY_CONFIG", NAMES ("vhangup") },
  { "SYSLOG", NAMES ("syslog") },
  { "BPF", NAMES ("bpf") },
  { "PERFMON", NAMES ("perf_event_open") },
  /* Opens any file of the file system by its number, whatever the root: the way out of early containers. */
  { "DAC_READ_SEARCH", NAMES ("open_by_handle_at") },
  { NULL, NULL },
};

const char *const denied_syscalls[] = {
  /* Large attack surface, and no namespace or cgroup of the container's own bounds them. */
  "io_uring_setup", "io_uring_enter", "io_uring_register", "userfaultfd", "add_key", "request_key", "keyctl",
  /* Of the whole machine. */
  "kexec_load", "kexec_file_load", "swapon", "swapoff", "nfsservctl",
  /* Relics. */
  "_sysctl", "sysfs", "ustat", "uselib", "create_module", "query_module", "get_kernel_syms", "vm86", "vm86old", NULL
};

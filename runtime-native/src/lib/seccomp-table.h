/* The default filter as a table: which system calls a container may make. */
#ifndef TS_SECCOMP_TABLE_H
#define TS_SECCOMP_TABLE_H

struct capability_syscalls
{
  const char *capability; /* without "CAP_" */
  const char *const *names;
};

/* Each ends with NULL. What stands in none of them answers ENOSYS, as an older kernel would: programs then
   fall back to what they did before the call existed. */
extern const char *const allowed_syscalls[];
/* Answer EPERM unless one of the capabilities is held. */
extern const struct capability_syscalls capability_syscalls[];
/* Answer EPERM always. */
extern const char *const denied_syscalls[];

#endif

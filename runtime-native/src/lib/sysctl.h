#ifndef TS_SYSCTL_H
#define TS_SYSCTL_H

struct sysctl
{
  const char *name; /* below /proc/sys, "net/ipv4/ip_forward" */
  const char *value;
};

/* Writes them in order, those below net in the calling thread's network namespace; what this kernel does not have is
   passed over. Returns 0 or -errno with the name of the one at fault. The list ends with a NULL name. */
int write_sysctls (const struct sysctl *sysctls, const char **fault);

#endif

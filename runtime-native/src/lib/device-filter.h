/* Which devices a container may use and make: a list for v1's devices controller, a BPF program for v2. */
#ifndef TS_DEVICE_FILTER_H
#define TS_DEVICE_FILTER_H

#include <linux/bpf.h>
#include <stddef.h>

struct device_rule
{
  char type;  /* 'c' or 'b'; 0 ends the list */
  int major;  /* -1: any */
  int minor;  /* -1: any */
  int access; /* BPF_DEVCG_ACC_* */
};

extern const struct device_rule default_device_rules[];

/* "c 1:3 rwm" */
void format_device_rule (const struct device_rule *rule, char *text, size_t size);

enum
{
  MAX_DEVICE_PROGRAM = 256
};

/* Writes the program for a list of rules; returns the number of instructions, at most MAX_DEVICE_PROGRAM, or
 * -E2BIG. */
int build_device_program (const struct device_rule *rules, struct bpf_insn *program);

/* Attaches the default list to a v2 cgroup in place of an earlier one; returns 0 or -errno. */
int attach_device_filter (int cgroup_fd);

#endif

#include "lib/device-filter.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "lib/cleanup.h"

enum
{
  ACCESS_MAKE = BPF_DEVCG_ACC_MKNOD,
  ACCESS_ALL = BPF_DEVCG_ACC_MKNOD | BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE,
};

/* A node may be made for any device, as package managers do, but opened only for these. */
const struct device_rule default_device_rules[] = {
  { 'c', -1, -1, ACCESS_MAKE },
  { 'b', -1, -1, ACCESS_MAKE },
  { 'c', 1, 3, ACCESS_ALL },    /* null */
  { 'c', 1, 5, ACCESS_ALL },    /* zero */
  { 'c', 1, 7, ACCESS_ALL },    /* full */
  { 'c', 1, 8, ACCESS_ALL },    /* random */
  { 'c', 1, 9, ACCESS_ALL },    /* urandom */
  { 'c', 5, 0, ACCESS_ALL },    /* tty */
  { 'c', 5, 1, ACCESS_ALL },    /* console */
  { 'c', 5, 2, ACCESS_ALL },    /* ptmx */
  { 'c', 136, -1, ACCESS_ALL }, /* pts */
  { 0, 0, 0, 0 },
};

static void
format_number (int value, char *text, size_t size)
{
  if (value < 0)
    snprintf (text, size, "*");
  else
    snprintf (text, size, "%d", value);
}

void
format_device_rule (const struct device_rule *rule, char *text, size_t size)
{
  char major[16], minor[16];

  format_number (rule->major, major, sizeof major);
  format_number (rule->minor, minor, sizeof minor);
  snprintf (text, size, "%c %s:%s %s%s%s", rule->type, major, minor, rule->access & BPF_DEVCG_ACC_READ ? "r" : "",
            rule->access & BPF_DEVCG_ACC_WRITE ? "w" : "", rule->access & BPF_DEVCG_ACC_MKNOD ? "m" : "");
}

static struct bpf_insn
insn (int code, int dst, int src, int offset, int value)
{
  return (struct bpf_insn){
    .code = (uint8_t) code, .dst_reg = dst & 15, .src_reg = src & 15, .off = (int16_t) offset, .imm = value
  };
}

/* Registers: 2 type, 3 wanted access, 4 major, 5 minor. A rule that does not match jumps to the next one. */
static int
add_rule (const struct device_rule *rule, struct bpf_insn *at)
{
  int count = 0, checks[4], check_count = 0;

  checks[check_count++] = count;
  at[count++] = insn (BPF_JMP | BPF_JNE | BPF_K, 2, 0, 0, rule->type == 'c' ? BPF_DEVCG_DEV_CHAR : BPF_DEVCG_DEV_BLOCK);
  if (rule->major >= 0)
    {
      checks[check_count++] = count;
      at[count++] = insn (BPF_JMP | BPF_JNE | BPF_K, 4, 0, 0, rule->major);
    }
  if (rule->minor >= 0)
    {
      checks[check_count++] = count;
      at[count++] = insn (BPF_JMP | BPF_JNE | BPF_K, 5, 0, 0, rule->minor);
    }
  if (rule->access != ACCESS_ALL)
    {
      checks[check_count++] = count;
      at[count++] = insn (BPF_JMP | BPF_JSET | BPF_K, 3, 0, 0, ~rule->access & ACCESS_ALL);
    }
  at[count++] = insn (BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 1);
  at[count++] = insn (BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
  for (int i = 0; i < check_count; i++)
    at[checks[i]].off = (int16_t) (count - checks[i] - 1);
  return count;
}

int
build_device_program (const struct device_rule *rules, struct bpf_insn *program)
{
  const int context = 1, longest_rule = 6;
  int count = 0;

  /* access_type holds the device type in its lower half and the access in its upper one. */
  program[count++] = insn (BPF_LDX | BPF_MEM | BPF_W, 2, context, 0, 0);
  program[count++] = insn (BPF_ALU64 | BPF_MOV | BPF_X, 3, 2, 0, 0);
  program[count++] = insn (BPF_ALU64 | BPF_AND | BPF_K, 2, 0, 0, 0xffff);
  program[count++] = insn (BPF_ALU64 | BPF_RSH | BPF_K, 3, 0, 0, 16);
  program[count++] = insn (BPF_LDX | BPF_MEM | BPF_W, 4, context, 4, 0);
  program[count++] = insn (BPF_LDX | BPF_MEM | BPF_W, 5, context, 8, 0);
  for (; rules->type; rules++)
    {
      if (count + longest_rule + 2 > MAX_DEVICE_PROGRAM)
        return -E2BIG;
      count += add_rule (rules, program + count);
    }
  program[count++] = insn (BPF_ALU64 | BPF_MOV | BPF_K, 0, 0, 0, 0);
  program[count++] = insn (BPF_JMP | BPF_EXIT, 0, 0, 0, 0);
  return count;
}

static int
load_program (const struct bpf_insn *program, int count)
{
  union bpf_attr attr;
  int fd;

  memset (&attr, 0, sizeof attr);
  attr.prog_type = BPF_PROG_TYPE_CGROUP_DEVICE;
  attr.insns = (uintptr_t) program;
  attr.insn_cnt = (uint32_t) count;
  attr.license = (uintptr_t) "Apache-2.0";
  fd = (int) syscall (SYS_bpf, BPF_PROG_LOAD, &attr, sizeof attr);
  return fd < 0 ? -errno : fd;
}

int
attach_device_filter (int cgroup_fd)
{
  struct bpf_insn program[MAX_DEVICE_PROGRAM];
  cleanup_close int fd = -1;
  union bpf_attr attr;
  int count = build_device_program (default_device_rules, program);

  if (count < 0)
    return count;
  fd = load_program (program, count);
  if (fd < 0)
    return fd;
  memset (&attr, 0, sizeof attr);
  attr.target_fd = (uint32_t) cgroup_fd;
  attr.attach_bpf_fd = (uint32_t) fd;
  attr.attach_type = BPF_CGROUP_DEVICE;
  /* No flags: an earlier program of this cgroup is replaced, and none may be attached below it. */
  if (syscall (SYS_bpf, BPF_PROG_ATTACH, &attr, sizeof attr) == 0)
    return 0;
  return -errno;
}

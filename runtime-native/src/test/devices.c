/* The device program, run by a small interpreter, against the verdicts of the list it was made from. */
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/device-filter.h"
#include "test/check.h"

static bool
is_jump_taken (const struct bpf_insn *insn, uint64_t left)
{
  switch (BPF_OP (insn->code))
    {
    case BPF_JNE:
      return left != (uint64_t) insn->imm;
    case BPF_JSET:
      return left & (uint64_t) insn->imm;
    default:
      CHECK (false);
      return false;
    }
}

static void
compute (const struct bpf_insn *insn, uint64_t *registers)
{
  uint64_t right = BPF_SRC (insn->code) == BPF_X ? registers[insn->src_reg] : (uint64_t) insn->imm;

  switch (BPF_OP (insn->code))
    {
    case BPF_MOV:
      registers[insn->dst_reg] = right;
      break;
    case BPF_AND:
      registers[insn->dst_reg] &= right;
      break;
    case BPF_RSH:
      registers[insn->dst_reg] >>= right;
      break;
    default:
      CHECK (false);
    }
}

static bool
allows (const struct bpf_insn *program, int count, int type, int access, uint32_t major, uint32_t minor)
{
  const uint32_t context[3] = { (uint32_t) (access << 16 | type), major, minor };
  uint64_t registers[11] = { 0 };

  for (int at = 0; at < count; at++)
    {
      const struct bpf_insn *insn = &program[at];

      if (insn->code == (BPF_JMP | BPF_EXIT))
        return registers[0];
      if (BPF_CLASS (insn->code) == BPF_LDX)
        registers[insn->dst_reg] = context[insn->off / 4];
      else if (BPF_CLASS (insn->code) == BPF_ALU64)
        compute (insn, registers);
      else if (is_jump_taken (insn, registers[insn->dst_reg]))
        at += insn->off;
    }
  CHECK (false);
  return false;
}

static void
test_verdicts (void)
{
  const int chr = BPF_DEVCG_DEV_CHAR, block = BPF_DEVCG_DEV_BLOCK;
  const int make = BPF_DEVCG_ACC_MKNOD, read = BPF_DEVCG_ACC_READ, write = BPF_DEVCG_ACC_WRITE;
  struct bpf_insn program[MAX_DEVICE_PROGRAM];
  int count = build_device_program (default_device_rules, program);

  CHECK (count > 0 && count <= MAX_DEVICE_PROGRAM);
  CHECK (allows (program, count, chr, read | write, 1, 3));
  CHECK (allows (program, count, chr, read | write | make, 1, 5));
  CHECK (allows (program, count, chr, read | write, 136, 12345));
  CHECK (allows (program, count, chr, make, 10, 200));
  CHECK (allows (program, count, block, make, 8, 0));
  CHECK (!allows (program, count, block, read, 8, 0));
  CHECK (!allows (program, count, block, read | make, 8, 0));
  CHECK (!allows (program, count, block, read, 1, 3));
  CHECK (!allows (program, count, chr, read, 1, 1));
  CHECK (!allows (program, count, chr, read, 1, 11));
  CHECK (!allows (program, count, chr, write, 10, 200));
}

static void
test_texts (void)
{
  const struct device_rule any = { 'b', -1, -1, BPF_DEVCG_ACC_MKNOD };
  const struct device_rule one = { 'c', 5, 2, BPF_DEVCG_ACC_READ | BPF_DEVCG_ACC_WRITE };
  char text[64];

  format_device_rule (&any, text, sizeof text);
  CHECK_TEXT (text, "b *:* m");
  format_device_rule (&one, text, sizeof text);
  CHECK_TEXT (text, "c 5:2 rw");
}

static void
test_too_many_rules (void)
{
  struct bpf_insn program[MAX_DEVICE_PROGRAM];
  struct device_rule rules[100] = { 0 };

  for (int i = 0; i < 99; i++)
    rules[i] = (struct device_rule){ 'c', i, i, BPF_DEVCG_ACC_READ };
  CHECK (build_device_program (rules, program) == -E2BIG);
}

int
main (void)
{
  test_verdicts ();
  test_texts ();
  test_too_many_rules ();
  return 0;
}

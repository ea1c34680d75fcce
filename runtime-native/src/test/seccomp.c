/* The compact default filter against what libseccomp makes of the same table: each decision that either could make. */
#include <errno.h>
#include <linux/audit.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "lib/seccomp-compact.h"
#include "lib/seccomp-parts.h"
#include "lib/tessera.h"
#include "test/check.h"

static uint32_t
load (const struct seccomp_data *data, uint32_t offset)
{
  uint32_t value;

  CHECK (offset % 4 == 0 && offset + sizeof value <= sizeof *data);
  memcpy (&value, (const uint8_t *) data + offset, sizeof value);
  return value;
}

/* As the kernel runs it. */
static uint32_t
run (const struct sock_filter *program, size_t length, const struct seccomp_data *data)
{
  uint32_t value = 0;

  for (size_t i = 0; i < length; i++)
    {
      const struct sock_filter *at = &program[i];
      bool yes;

      switch (at->code)
        {
        case BPF_LD | BPF_W | BPF_ABS:
          value = load (data, at->k);
          continue;
        case BPF_ALU | BPF_AND | BPF_K:
          value &= at->k;
          continue;
        case BPF_JMP | BPF_JA:
          i += at->k;
          continue;
        case BPF_RET | BPF_K:
          return at->k;
        case BPF_JMP | BPF_JEQ | BPF_K:
          yes = value == at->k;
          break;
        case BPF_JMP | BPF_JGT | BPF_K:
          yes = value > at->k;
          break;
        case BPF_JMP | BPF_JGE | BPF_K:
          yes = value >= at->k;
          break;
        default:
          CHECK (!"an instruction that no filter of ours has");
          return 0;
        }
      i += yes ? at->jt : at->jf;
    }
  CHECK (!"a program without an end");
  return 0;
}

struct pair
{
  struct sock_filter whole[BPF_MAXINSNS];
  size_t whole_length;
  struct sock_filter compact[BPF_MAXINSNS];
  size_t compact_length;
};

static void
compare (const struct pair *pair, uint32_t architecture, uint32_t number)
{
  /* What rules about arguments look for, and what is beside it. */
  static const uint64_t values[] = { 0,
                                     1,
                                     8,
                                     9,
                                     AF_VSOCK,
                                     AF_ALG,
                                     AF_INET,
                                     0x20000,
                                     0x20008,
                                     0xffffffff,
                                     CLONE_NEWNS,
                                     CLONE_NEWUSER,
                                     CLONE_NEWPID,
                                     CLONE_NEWNET,
                                     CLONE_VM,
                                     CLONE_NEWUTS,
                                     CLONE_NEWIPC,
                                     0x02000000,
                                     0x100000000,
                                     0x10000000028U,
                                     UINT64_MAX,
                                     0x7fffffff,
                                     0x50f00 };

  for (size_t i = 0; i < sizeof values / sizeof *values; i++)
    {
      const struct seccomp_data data
          = { .nr = (int) number, .arch = architecture, .args = { values[i], 1, values[i], 0, 0, 0 } };

      CHECK (run (pair->whole, pair->whole_length, &data) == run (pair->compact, pair->compact_length, &data));
    }
}

static void
test_decides_as_libseccomp (const char *const *capabilities)
{
  static const uint32_t architectures[] = { AUDIT_ARCH_X86_64, AUDIT_ARCH_I386, AUDIT_ARCH_AARCH64, AUDIT_ARCH_ARM, 0 };
  static struct pair pair;
  uint32_t size = sizeof pair.compact;
  struct ts_result result;
  int length = build_default_filter (FILTER_WHOLE, capabilities, pair.whole, BPF_MAXINSNS);

  CHECK (length > 0);
  pair.whole_length = (size_t) length;
  CHECK (ts_seccomp_default (capabilities, pair.compact, &size, &result) == 0);
  pair.compact_length = size / sizeof *pair.compact;
  CHECK (pair.compact_length * 3 < pair.whole_length);
  for (size_t i = 0; i < sizeof architectures / sizeof *architectures; i++)
    {
      for (uint32_t number = 0; number < 1200; number++)
        compare (&pair, architectures[i], number);
      /* ARM's own calls, x32's numbers, and the last one. */
      for (uint32_t number = 0xf0000; number < 0xf0010; number++)
        compare (&pair, architectures[i], number);
      for (uint32_t number = 0x3ffffff0; number < 0x40000400; number++)
        compare (&pair, architectures[i], number);
      compare (&pair, architectures[i], UINT32_MAX);
    }
}

static void
test_refuses_what_it_cannot_follow (void)
{
  static const uint32_t architectures[] = { AUDIT_ARCH_X86_64 };
  struct sock_filter out[64];
  const struct sock_filter bits[]
      = { BPF_STMT (BPF_LD | BPF_W | BPF_ABS, 0), BPF_JUMP (BPF_JMP | BPF_JSET | BPF_K, 1, 0, 1),
          BPF_STMT (BPF_RET | BPF_K, 0), BPF_STMT (BPF_RET | BPF_K, SECCOMP_RET_ALLOW) };
  const struct sock_filter plain[]
      = { BPF_STMT (BPF_LD | BPF_W | BPF_ABS, 0), BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, 1, 0, 1),
          BPF_STMT (BPF_RET | BPF_K, 0), BPF_STMT (BPF_RET | BPF_K, SECCOMP_RET_ALLOW) };
  const struct filter_program none = { plain, 0 };

  CHECK (ts_compact_filter ((struct filter_program){ bits, 4 }, none, architectures, 1, out, 64) == -ENOTSUP);
  CHECK (ts_compact_filter ((struct filter_program){ plain, 4 }, none, architectures, 1, out, 64) == 9);
  for (size_t room = 0; room < 9; room++)
    CHECK (ts_compact_filter ((struct filter_program){ plain, 4 }, none, architectures, 1, out, room) == -ENOBUFS);
}

int
main (void)
{
  static const char *const none[] = { NULL };
  static const char *const usual[] = { "AUDIT_WRITE", "KILL", "NET_BIND_SERVICE", NULL };
  static const char *const much[] = { "SYS_ADMIN", "SYS_PTRACE", "NET_ADMIN", "SYS_TIME", NULL };

  test_decides_as_libseccomp (none);
  test_decides_as_libseccomp (usual);
  test_decides_as_libseccomp (much);
  test_refuses_what_it_cannot_follow ();
  return 0;
}

/* The default system call filter as BPF bytes: libseccomp builds from the table what is to be decided, and what has to
   look at arguments once more by itself; the two become one program that the kernel loads in a quarter of the time. */
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>

#include "lib/cleanup.h"
#include "lib/result.h"
#include "lib/seccomp-compact.h"
#include "lib/seccomp-export.h"
#include "lib/seccomp-parts.h"
#include "lib/seccomp-table.h"

static const uint32_t eperm = SCMP_ACT_ERRNO (EPERM);
static const uint32_t enosys = SCMP_ACT_ERRNO (ENOSYS);

static bool
holds (const char *const *names, const char *name)
{
  for (; *names; names++)
    if (strcmp (*names, name) == 0)
      return true;
  return false;
}

/* A name that this version of libseccomp does not know falls to the default, ENOSYS. */
static int
add_rule (scmp_filter_ctx filter, uint32_t action, const char *name)
{
  int number = seccomp_syscall_resolve_name (name);

  return number == __NR_SCMP_ERROR ? 0 : seccomp_rule_add (filter, action, number, 0);
}

static int
add_rules (scmp_filter_ctx filter, uint32_t action, const char *const *names)
{
  int err = 0;

  for (; *names && err == 0; names++)
    err = add_rule (filter, action, *names);
  return err;
}

/* Whether one of the held capabilities opens the system call. */
static bool
is_opened (const char *const *capabilities, const char *name)
{
  for (const struct capability_syscalls *entry = capability_syscalls; entry->capability; entry++)
    if (holds (capabilities, entry->capability) && holds (entry->names, name))
      return true;
  return false;
}

static int
add_capability_rules (scmp_filter_ctx filter, const char *const *capabilities)
{
  int err = 0;

  for (const struct capability_syscalls *entry = capability_syscalls; entry->capability; entry++)
    for (const char *const *name = entry->names; *name && err == 0; name++)
      {
        bool opened = is_opened (capabilities, *name);

        /* Conditions of their own. */
        if (!opened && (strcmp (*name, "clone") == 0 || strcmp (*name, "clone3") == 0))
          continue;
        err = add_rule (filter, opened ? SCMP_ACT_ALLOW : eperm, *name);
        /* Named under two capabilities: the same rule twice is no fault. */
        if (err == -EEXIST)
          err = 0;
      }
  return err;
}

/* New processes and threads, but no new namespaces. clone3 has its flags in memory, where a filter cannot
   look: it answers ENOSYS, and C libraries then use clone. */
static int
add_clone_rules (scmp_filter_ctx filter)
{
  static const uint64_t namespaces[]
      = { CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET };
  uint64_t all = 0;
  int err = 0;

  for (size_t i = 0; i < sizeof namespaces / sizeof *namespaces && err == 0; i++)
    {
      all |= namespaces[i];
      err = seccomp_rule_add (filter, eperm, SCMP_SYS (clone), 1,
                              SCMP_A0 (SCMP_CMP_MASKED_EQ, namespaces[i], namespaces[i]));
    }
  if (err == 0)
    err = seccomp_rule_add (filter, SCMP_ACT_ALLOW, SCMP_SYS (clone), 1, SCMP_A0 (SCMP_CMP_MASKED_EQ, all, 0));
  return err;
}

/* Only the harmless personalities: Linux, 32 bit addresses, their short uname, and asking. */
static int
add_personality_rules (scmp_filter_ctx filter)
{
  static const uint64_t personalities[] = { 0, 0x0008, 0x20000, 0x20008, 0xffffffff };
  int err = 0;

  for (size_t i = 0; i < sizeof personalities / sizeof *personalities && err == 0; i++)
    err = seccomp_rule_add (filter, SCMP_ACT_ALLOW, SCMP_SYS (personality), 1,
                            SCMP_A0 (SCMP_CMP_EQ, personalities[i], 0));
  return err;
}

/* The processor's other instruction set, which the kernel takes as well. */
static int
add_architectures (scmp_filter_ctx filter)
{
  switch (seccomp_arch_native ())
    {
    case SCMP_ARCH_X86_64:
      return seccomp_arch_add (filter, SCMP_ARCH_X86);
    case SCMP_ARCH_AARCH64:
      return seccomp_arch_add (filter, SCMP_ARCH_ARM);
    default:
      return 0;
    }
}

static int
add_rules_by_arguments (scmp_filter_ctx filter, const char *const *capabilities)
{
  int err = is_opened (capabilities, "clone") ? 0 : add_clone_rules (filter);

  return err < 0 ? err : add_personality_rules (filter);
}

static int
fill_whole (scmp_filter_ctx filter, const char *const *capabilities)
{
  int err = add_rules (filter, SCMP_ACT_ALLOW, allowed_syscalls);

  if (err == 0)
    err = add_rules (filter, eperm, denied_syscalls);
  if (err == 0)
    err = add_capability_rules (filter, capabilities);
  return err < 0 ? err : add_rules_by_arguments (filter, capabilities);
}

/* Decides as the whole does where arguments matter: those of sockets do by the prologue. */
static int
fill_rest (scmp_filter_ctx filter, const char *const *capabilities)
{
  int err = add_rule (filter, SCMP_ACT_ALLOW, "socket");

  return err < 0 ? err : add_rules_by_arguments (filter, capabilities);
}

/* ---- sockets of families that no namespace bounds ---- */

static const struct
{
  uint32_t arch;
  uint32_t socket_number;
} socket_calls[] = {
#if defined(__x86_64__)
  { AUDIT_ARCH_X86_64, 41 },
  { AUDIT_ARCH_I386, 359 },
#elif defined(__aarch64__)
  { AUDIT_ARCH_AARCH64, 198 },
  { AUDIT_ARCH_ARM, 281 },
#endif
};

enum
{
  SOCKET_CALLS = sizeof socket_calls / sizeof *socket_calls,
  PROLOGUE_LENGTH = SOCKET_CALLS * 8,
  ARG0_LOW = offsetof (struct seccomp_data, args[0]),
};

/* Runs before the table's program, for a comparison libseccomp cannot say: the kernel looks at the lower half
   of the argument only, so must the filter, and what is not denied must go on to the table. AF_VSOCK reaches
   the hypervisor past the network namespace, AF_ALG the kernel's cipher code. */
static void
write_prologue (struct sock_filter *at)
{
  for (size_t i = 0; i < SOCKET_CALLS; i++, at += 8)
    {
      const struct sock_filter piece[8] = {
        BPF_STMT (BPF_LD | BPF_W | BPF_ABS, offsetof (struct seccomp_data, arch)),
        BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, socket_calls[i].arch, 0, 6),
        BPF_STMT (BPF_LD | BPF_W | BPF_ABS, offsetof (struct seccomp_data, nr)),
        BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, socket_calls[i].socket_number, 0, 4),
        BPF_STMT (BPF_LD | BPF_W | BPF_ABS, ARG0_LOW),
        BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, AF_VSOCK, 1, 0),
        BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, AF_ALG, 0, 1),
        BPF_STMT (BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
      };

      memcpy (at, piece, sizeof piece);
    }
}

static int
export_filter (scmp_filter_ctx filter, struct sock_filter *out, uint32_t *size)
{
  const uint32_t prologue = PROLOGUE_LENGTH * sizeof *out;
  uint32_t rest;
  int err;

  if (*size < prologue)
    return -ENOBUFS;
  rest = *size - prologue;
  err = ts_export_filter (filter, out + PROLOGUE_LENGTH, &rest);
  if (err < 0)
    return err;
  *size = prologue + rest;
  if (*size / sizeof *out > BPF_MAXINSNS)
    return -E2BIG;
  write_prologue (out);
  return 0;
}

static int
fill_filter (scmp_filter_ctx filter, enum filter_part part, const char *const *capabilities)
{
  int err = add_architectures (filter);

  if (err == 0)
    err = seccomp_attr_set (filter, SCMP_FLTATR_ACT_BADARCH, enosys);
  if (err < 0)
    return err;
  return part == FILTER_WHOLE ? fill_whole (filter, capabilities) : fill_rest (filter, capabilities);
}

int
build_default_filter (enum filter_part part, const char *const *capabilities, struct sock_filter *out, size_t room)
{
  scmp_filter_ctx filter = seccomp_init (enosys);
  uint32_t size = (uint32_t) (room * sizeof *out);
  int err;

  if (!filter)
    return -ENOMEM;
  err = fill_filter (filter, part, capabilities);
  if (err == 0)
    err = export_filter (filter, out, &size);
  seccomp_release (filter);
  return err < 0 ? err : (int) (size / sizeof *out);
}

static int
build_compact_filter (const char *const *capabilities, struct sock_filter *out, size_t room)
{
  cleanup_free struct sock_filter *parts = calloc (2 * BPF_MAXINSNS, sizeof *parts);
  uint32_t architectures[SOCKET_CALLS];
  int whole, rest;

  if (!parts)
    return -ENOMEM;
  for (size_t i = 0; i < SOCKET_CALLS; i++)
    architectures[i] = socket_calls[i].arch;
  whole = build_default_filter (FILTER_WHOLE, capabilities, parts, BPF_MAXINSNS);
  if (whole < 0)
    return whole;
  rest = build_default_filter (FILTER_BY_ARGUMENTS, capabilities, parts + whole, BPF_MAXINSNS);
  if (rest < 0)
    return rest;
  return ts_compact_filter ((struct filter_program){ parts, (size_t) whole },
                            (struct filter_program){ parts + whole, (size_t) rest }, architectures, SOCKET_CALLS, out,
                            room);
}

int
ts_seccomp_default (const char *const *capabilities, void *out, uint32_t *size, struct ts_result *res)
{
  int length = build_compact_filter (capabilities, out, *size / sizeof (struct sock_filter));

  if (length < 0)
    return ts_fail (res, -length, "build system call filter", "%s", "");
  *size = (uint32_t) length * sizeof (struct sock_filter);
  return 0;
}

/* A filter that somebody wrote down for a container, as BPF bytes, built by libseccomp. */
#include <errno.h>
#include <linux/filter.h>
#include <seccomp.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include "lib/result.h"
#include "lib/seccomp-export.h"
#include "lib/tessera.h"

enum
{
  MAX_ARGUMENTS = 6,
};

static const char step[] = "compile seccomp profile";

/* Names that profiles have and that a libseccomp in use is too old for. */
static const char *const newer_syscalls[] = {
  "cachestat",        "fchmodat2",         "file_getattr",     "file_setattr", "futex_requeue",  "futex_wait",
  "futex_wake",       "getxattrat",        "listmount",        "listns",       "listxattrat",    "lsm_get_self_attr",
  "lsm_list_modules", "lsm_set_self_attr", "map_shadow_stack", "mseal",        "open_tree_attr", "removexattrat",
  "riscv_hwprobe",    "setxattrat",        "statmount",        "uprobe",       "uretprobe",      NULL
};

static bool
is_newer (const char *name)
{
  for (const char *const *newer = newer_syscalls; *newer; newer++)
    if (strcmp (*newer, name) == 0)
      return true;
  return false;
}

/* Without a rule the call is treated as the profile says of all that it does not name. Where the rule would allow more
   than that, that is merely stricter; where it would allow less, it is not what was asked for. */
static int
skip_unknown (const char *name, uint32_t action, uint32_t default_action, struct ts_result *res)
{
  if (!is_newer (name))
    return ts_fail (res, EINVAL, step, "there is no system call \"%s\"", name);
  if (action == SCMP_ACT_ALLOW || (action == SCMP_ACT_LOG && default_action != SCMP_ACT_ALLOW))
    return 0;
  return ts_fail (res, ENOSYS, step, "this node's libseccomp is too old to restrict system call \"%s\"", name);
}

/* A number more than once: each of the conditions is enough, as container runtimes read such a list. */
static bool
repeats_argument (const struct ts_seccomp_condition *conditions, uint32_t count)
{
  uint32_t seen = 0;

  for (uint32_t i = 0; i < count; i++)
    {
      if (seen >> conditions[i].argument & 1)
        return true;
      seen |= 1U << conditions[i].argument;
    }
  return false;
}

static int
add_conditions (scmp_filter_ctx filter, const struct ts_seccomp_rule *rule, int number,
                const struct ts_seccomp_condition *conditions)
{
  struct scmp_arg_cmp compare[MAX_ARGUMENTS];
  uint32_t count = rule->condition_count;
  bool any = repeats_argument (conditions, count);
  int err = 0;

  if (count > MAX_ARGUMENTS && !any)
    return -EINVAL;
  for (uint32_t i = 0; i < count && (err == 0 || err == -EEXIST); i++)
    {
      const struct ts_seccomp_condition *condition = conditions + i;
      const struct scmp_arg_cmp one = SCMP_CMP (condition->argument, (enum scmp_compare) condition->comparison,
                                                condition->value, condition->value_two);

      if (any)
        err = seccomp_rule_add_array (filter, rule->action, number, 1, &one);
      else
        compare[i] = one;
    }
  return any ? err : seccomp_rule_add_array (filter, rule->action, number, count, compare);
}

static int
add_rule (scmp_filter_ctx filter, const struct ts_seccomp_profile *profile, const struct ts_seccomp_rule *rule,
          const struct ts_seccomp_condition *conditions, struct ts_result *res)
{
  int number = seccomp_syscall_resolve_name (rule->name);
  int err;

  if (number == __NR_SCMP_ERROR)
    return skip_unknown (rule->name, rule->action, profile->default_action, res);
  /* libseccomp takes no rule that changes nothing. */
  if (rule->action == profile->default_action)
    return 0;
  err = add_conditions (filter, rule, number, conditions);
  /* Said twice. */
  return err == 0 || err == -EEXIST ? 0 : ts_fail (res, -err, step, "rule for system call \"%s\"", rule->name);
}

static int
add_architectures (scmp_filter_ctx filter, const char *const *names, struct ts_result *res)
{
  for (; *names; names++)
    {
      uint32_t architecture = seccomp_arch_resolve_name (*names);
      int err = architecture ? seccomp_arch_add (filter, architecture) : -EINVAL;

      if (err < 0 && err != -EEXIST)
        return ts_fail (res, -err, step, "architecture \"%s\"", *names);
    }
  return 0;
}

static int
fill (scmp_filter_ctx filter, const struct ts_seccomp_profile *profile, const struct ts_seccomp_rule *rules,
      const struct ts_seccomp_condition *conditions, struct ts_result *res)
{
  int err = add_architectures (filter, profile->architectures, res);

  /* A tree instead of a list of comparisons. */
  if (err == 0)
    err = seccomp_attr_set (filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
  for (uint32_t i = 0; err == 0 && i < profile->rule_count; i++)
    {
      err = add_rule (filter, profile, rules + i, conditions, res);
      conditions += rules[i].condition_count;
    }
  return err;
}

int
ts_seccomp_profile (const struct ts_seccomp_profile *profile, const struct ts_seccomp_rule *rules,
                    const struct ts_seccomp_condition *conditions, void *out, uint32_t *size, struct ts_result *res)
{
  scmp_filter_ctx filter = seccomp_init (profile->default_action);
  int err;

  if (!filter)
    return ts_fail (res, EINVAL, step, "default action %08x", profile->default_action);
  err = fill (filter, profile, rules, conditions, res);
  if (err == 0)
    {
      err = ts_export_filter (filter, out, size);
      if (err < 0)
        ts_fail (res, -err, step, "%u rules", profile->rule_count);
    }
  seccomp_release (filter);
  return err;
}

/* What a filter decides is found out by running it: for a number that it compares with something, and for the one
   after that. Between two such numbers it decides nothing anew.

     per architecture: is it this one? then a binary search for the number, and one end for each decision
     the decision for other architectures
     rest, where searches end at a call whose arguments matter */
#include "lib/seccomp-compact.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"

enum
{
  MAX_ARCHITECTURES = 4,
  MAX_RANGES = 512,
  MAX_ENDS = 8,
  MAX_JUMP = 255,
  NO_ARCHITECTURE = 0,
  NUMBER = offsetof (struct seccomp_data, nr),
  ARCHITECTURE = offsetof (struct seccomp_data, arch),
  ARGUMENTS = offsetof (struct seccomp_data, args),
  /* Decisions of the kernel's are not negative. */
  BY_ARGUMENTS = -1,
};

struct range
{
  uint32_t first;
  int64_t decision; /* SECCOMP_RET_... or BY_ARGUMENTS */
};

struct ranges
{
  struct range at[MAX_RANGES];
  size_t count;
};

struct output
{
  struct sock_filter *at;
  size_t length;
  size_t room;
};

/* ---- running a filter ---- */

static bool
jumps (const struct sock_filter *instruction, uint32_t value)
{
  switch (BPF_OP (instruction->code))
    {
    case BPF_JEQ:
      return value == instruction->k;
    case BPF_JGT:
      return value > instruction->k;
    default:
      return value >= instruction->k;
    }
}

static bool
is_comparison (const struct sock_filter *instruction)
{
  return instruction->code == (BPF_JMP | BPF_JEQ | BPF_K) || instruction->code == (BPF_JMP | BPF_JGT | BPF_K)
         || instruction->code == (BPF_JMP | BPF_JGE | BPF_K);
}

/* Returns the decision, or -ENOTSUP. */
static int64_t
decide (struct filter_program program, uint32_t architecture, uint32_t number)
{
  uint32_t value = 0;

  for (size_t i = 0; i < program.length; i++)
    {
      const struct sock_filter *instruction = &program.instructions[i];

      if (is_comparison (instruction))
        i += jumps (instruction, value) ? instruction->jt : instruction->jf;
      else if (instruction->code == (BPF_JMP | BPF_JA))
        i += instruction->k;
      else if (instruction->code == (BPF_RET | BPF_K))
        return instruction->k;
      else if (instruction->code != (BPF_LD | BPF_W | BPF_ABS))
        return -ENOTSUP;
      else if (instruction->k == NUMBER)
        value = number;
      else if (instruction->k == ARCHITECTURE)
        value = architecture;
      else if (instruction->k >= ARGUMENTS)
        return BY_ARGUMENTS;
      else
        return -ENOTSUP;
    }
  return -ENOTSUP;
}

static int
compare_numbers (const void *one, const void *other)
{
  uint32_t a = *(const uint32_t *) one, b = *(const uint32_t *) other;

  return (a > b) - (a < b);
}

/* Where decisions may change, in order. The caller frees it. */
static uint32_t *
list_numbers (struct filter_program program, size_t *count)
{
  uint32_t *numbers = calloc (2 * program.length + 1, sizeof *numbers);

  if (!numbers)
    return NULL;
  *count = 1;
  for (size_t i = 0; i < program.length; i++)
    if (is_comparison (&program.instructions[i]))
      {
        numbers[(*count)++] = program.instructions[i].k;
        numbers[(*count)++] = program.instructions[i].k + 1;
      }
  qsort (numbers, *count, sizeof *numbers, compare_numbers);
  return numbers;
}

static int
find_ranges (struct filter_program program, uint32_t architecture, struct ranges *ranges)
{
  size_t count = 0;
  cleanup_free uint32_t *numbers = list_numbers (program, &count);

  if (!numbers)
    return -ENOMEM;
  ranges->count = 0;
  for (size_t i = 0; i < count; i++)
    {
      int64_t decision = decide (program, architecture, numbers[i]);

      if (decision == -ENOTSUP)
        return -ENOTSUP;
      if (ranges->count > 0 && ranges->at[ranges->count - 1].decision == decision)
        continue;
      if (ranges->count == MAX_RANGES)
        return -E2BIG;
      ranges->at[ranges->count++] = (struct range){ numbers[i], decision };
    }
  return 0;
}

/* ---- writing one ---- */

static int
append (struct output *output, struct sock_filter instruction)
{
  if (output->length == output->room)
    return -ENOBUFS;
  output->at[output->length++] = instruction;
  return 0;
}

struct search
{
  const struct ranges *ranges;
  struct sock_filter *jumps; /* one less than there are ranges; the ends follow */
  size_t used;
  int64_t ends[MAX_ENDS];
  size_t end_count;
  bool too_far;
};

static size_t
end_of (struct search *search, int64_t decision)
{
  const size_t first = search->ranges->count - 1;

  for (size_t i = 0; i < search->end_count; i++)
    if (search->ends[i] == decision)
      return first + i;
  if (search->end_count == MAX_ENDS)
    search->too_far = true;
  else
    search->ends[search->end_count++] = decision;
  return first + search->end_count - 1;
}

static uint8_t
distance (struct search *search, size_t from, size_t to)
{
  if (to - from - 1 > MAX_JUMP)
    search->too_far = true;
  return (uint8_t) (to - from - 1);
}

/* Returns the index of what decides among these ranges. */
static size_t
write_search (struct search *search, size_t first, size_t last)
{
  size_t middle = (first + last + 1) / 2;
  size_t index, below, above;

  if (first == last)
    return end_of (search, search->ranges->at[first].decision);
  index = search->used++;
  below = write_search (search, first, middle - 1);
  above = write_search (search, middle, last);
  search->jumps[index]
      = (struct sock_filter) BPF_JUMP (BPF_JMP | BPF_JGE | BPF_K, search->ranges->at[middle].first,
                                       distance (search, index, above), distance (search, index, below));
  return index;
}

/* Returns where the jump to the rest is, whose place is not known yet; 0 when nothing depends on arguments. */
static int
append_search (struct output *output, const struct ranges *ranges, size_t *to_rest)
{
  struct search search = { .ranges = ranges };
  int err = append (output, (struct sock_filter) BPF_STMT (BPF_LD | BPF_W | BPF_ABS, NUMBER));

  if (err < 0 || output->room - output->length < ranges->count - 1)
    return -ENOBUFS;
  search.jumps = output->at + output->length;
  write_search (&search, 0, ranges->count - 1);
  output->length += ranges->count - 1;
  *to_rest = 0;
  for (size_t i = 0; err == 0 && i < search.end_count; i++)
    if (search.ends[i] == BY_ARGUMENTS)
      {
        *to_rest = output->length;
        err = append (output, (struct sock_filter) BPF_STMT (BPF_JMP | BPF_JA, 0));
      }
    else
      err = append (output, (struct sock_filter) BPF_STMT (BPF_RET | BPF_K, (uint32_t) search.ends[i]));
  return search.too_far ? -E2BIG : err;
}

static void
jump_to_end (struct output *output, size_t from)
{
  output->at[from].k = (uint32_t) (output->length - from - 1);
}

/* Everything of one architecture: what is not of it goes on behind. */
static int
append_architecture (struct output *output, struct filter_program whole, uint32_t architecture, size_t *to_rest)
{
  struct ranges ranges;
  size_t skip;
  int err = find_ranges (whole, architecture, &ranges);

  if (err == 0)
    err = append (output, (struct sock_filter) BPF_STMT (BPF_LD | BPF_W | BPF_ABS, ARCHITECTURE));
  if (err == 0)
    err = append (output, (struct sock_filter) BPF_JUMP (BPF_JMP | BPF_JEQ | BPF_K, architecture, 1, 0));
  skip = output->length;
  if (err == 0)
    err = append (output, (struct sock_filter) BPF_STMT (BPF_JMP | BPF_JA, 0));
  if (err == 0)
    err = append_search (output, &ranges, to_rest);
  if (err == 0)
    jump_to_end (output, skip);
  return err;
}

int
ts_compact_filter (struct filter_program whole, struct filter_program rest, const uint32_t *architectures,
                   size_t architecture_count, struct sock_filter *out, size_t room)
{
  struct output output = { .at = out, .room = room };
  int64_t other = decide (whole, NO_ARCHITECTURE, 0);
  size_t to_rest[MAX_ARCHITECTURES];
  int err = other < 0 ? -ENOTSUP : architecture_count > MAX_ARCHITECTURES ? -E2BIG : 0;

  for (size_t i = 0; err == 0 && i < architecture_count; i++)
    err = append_architecture (&output, whole, architectures[i], &to_rest[i]);
  if (err == 0)
    err = append (&output, (struct sock_filter) BPF_STMT (BPF_RET | BPF_K, (uint32_t) other));
  if (err < 0)
    return err;
  for (size_t i = 0; i < architecture_count; i++)
    if (to_rest[i] > 0)
      jump_to_end (&output, to_rest[i]);
  if (rest.length > output.room - output.length)
    return -ENOBUFS;
  memcpy (output.at + output.length, rest.instructions, rest.length * sizeof *rest.instructions);
  return (int) (output.length + rest.length);
}

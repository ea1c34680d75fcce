/* Why setting a container up failed: travels from the child to the shim and from there to the agent. */
#ifndef TS_FAILURE_H
#define TS_FAILURE_H

#include <stdint.h>

/* What the caller can do about it. The numbers are on the wire (shim/protocol.h). */
enum ts_reason
{
  TS_INTERNAL = 0,
  TS_INVALID_ARGUMENT = 1,
  TS_COMMAND_NOT_FOUND = 2,
  TS_COMMAND_NOT_EXECUTABLE = 3,
  TS_NOT_FOUND = 4,
  TS_ALREADY_EXISTS = 5,
  TS_NO_SPACE = 6,
};

struct ts_failure
{
  int32_t error; /* errno, 0 while nothing failed */
  int32_t reason;
  char step[48];
  char operand[296];
};

/* All fill *failure and return -error. The reason is derived from errno (a full disk is told apart) or given. */
int ts_fail_step (struct ts_failure *failure, int error, const char *step) __attribute__ ((cold));
int ts_fail (struct ts_failure *failure, int error, const char *step, const char *format, ...)
    __attribute__ ((format (printf, 4, 5), cold));
int ts_refuse (struct ts_failure *failure, enum ts_reason reason, int error, const char *step, const char *format, ...)
    __attribute__ ((format (printf, 5, 6), cold));

#endif

#include "container/failure.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

static void
fill (struct ts_failure *failure, enum ts_reason reason, int error, const char *step, const char *format, va_list args)
{
  failure->error = error;
  failure->reason = reason;
  snprintf (failure->step, sizeof failure->step, "%s", step);
  vsnprintf (failure->operand, sizeof failure->operand, format, args);
}

static enum ts_reason
reason_of (int error)
{
  return error == ENOSPC || error == EDQUOT ? TS_NO_SPACE : TS_INTERNAL;
}

int
ts_fail_step (struct ts_failure *failure, int error, const char *step)
{
  failure->error = error;
  failure->reason = reason_of (error);
  snprintf (failure->step, sizeof failure->step, "%s", step);
  failure->operand[0] = '\0';
  return -error;
}

int
ts_fail (struct ts_failure *failure, int error, const char *step, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  fill (failure, reason_of (error), error, step, format, args);
  va_end (args);
  return -error;
}

int
ts_refuse (struct ts_failure *failure, enum ts_reason reason, int error, const char *step, const char *format, ...)
{
  va_list args;

  va_start (args, format);
  fill (failure, reason, error, step, format, args);
  va_end (args);
  return -error;
}

#include "lib/result.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int
ts_fail (struct ts_result *res, int error, const char *step, const char *format, ...)
{
  const char *words = strerrordesc_np (error);
  va_list args;
  int used;

  res->error = error;
  snprintf (res->step, sizeof res->step, "%s", step);
  va_start (args, format);
  used = vsnprintf (res->message, sizeof res->message, format, args);
  va_end (args);
  if (used < 0)
    used = 0;
  if ((size_t) used >= sizeof res->message)
    used = sizeof res->message - 1;
  snprintf (res->message + used, sizeof res->message - (size_t) used, "%s%s", used > 0 ? ": " : "",
            words ? words : "unknown error");
  return -error;
}

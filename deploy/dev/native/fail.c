#include "fail.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int
fail (struct failure *failure, int errnum, const char *step, ...)
{
  va_list args;

  va_start (args, step);
  int length = vsnprintf (failure->text, sizeof failure->text, step, args);
  va_end (args);
  if (errnum != 0 && length >= 0 && (size_t)length < sizeof failure->text)
    snprintf (failure->text + length, sizeof failure->text - (size_t)length, ": %s", strerror (errnum));
  return -1;
}

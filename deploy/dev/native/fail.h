/* How a step that went wrong is told: which step, with which operand, and what the kernel said. */
#pragma once

struct failure
{
  char text[512];
};

/* Fills in *failure with the formatted step and the text of errnum; always returns -1, so that callers can
   write `return fail (...)`. With errnum 0 the step is the whole text. */
int fail (struct failure *failure, int errnum, const char *step, ...) __attribute__ ((format (printf, 3, 4)));

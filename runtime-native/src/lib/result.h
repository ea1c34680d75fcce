#ifndef TS_RESULT_H
#define TS_RESULT_H

#include "lib/tessera.h"

/* Fills *res and returns -error. `format` names the operand; errno's description is appended. Calls
   malloc-free library functions only, but is not for use between clone and exec. */
int ts_fail (struct ts_result *res, int error, const char *step, const char *format, ...)
    __attribute__ ((format (printf, 4, 5), cold));

#endif

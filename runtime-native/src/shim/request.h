/* What the agent asks for, as data. Strings point into the frame, which must outlive the result. */
#ifndef TS_REQUEST_H
#define TS_REQUEST_H

#include "container/failure.h"
#include "container/spec.h"
#include "shim/wire.h"

/* The small requests: which container, and a number or two. */
struct ts_target
{
  const char *container; /* NULL when absent */
  uint32_t signal;
  uint32_t pid;
  uint32_t columns;
  uint32_t rows;
  bool ends_stdin;
  bool early_output;
  uint32_t port;
};

struct ts_exec_request
{
  const char *container;
  struct ts_process process;
  bool stdin_open;
};

/* Each returns 0 or -errno, and the failure names the field. On success the spec is to be freed. */
int ts_parse_container (struct ts_fields fields, struct ts_container_spec *spec, struct ts_failure *failure);
int ts_parse_exec (struct ts_fields fields, struct ts_exec_request *request, struct ts_failure *failure);
int ts_parse_target (struct ts_fields fields, struct ts_target *target, struct ts_failure *failure);

void ts_free_container (struct ts_container_spec *spec);
void ts_free_process (struct ts_process *process);

#endif

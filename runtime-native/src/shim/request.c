#include "shim/request.h"

#include <errno.h>
#include <linux/filter.h>
#include <stdlib.h>
#include <string.h>

#include "shim/protocol.h"

enum
{
  MAX_GROUPS = 65536,
  MAX_NAME = 200,
};

static size_t
count_fields (struct ts_fields fields, uint16_t tag)
{
  struct ts_field field;
  size_t count = 0;

  while (ts_next_field (&fields, &field) > 0)
    count += field.tag == tag;
  return count;
}

/* All strings with this tag, and a NULL after them; NULL without memory or when one is no string. */
static char **
read_strings (struct ts_fields fields, uint16_t tag)
{
  char **strings = calloc (count_fields (fields, tag) + 1, sizeof *strings);
  struct ts_field field;
  const char *string;
  size_t count = 0;

  while (strings && ts_next_field (&fields, &field) > 0)
    if (field.tag == tag)
      {
        if (ts_field_string (&field, &string) < 0)
          {
            free (strings);
            return NULL;
          }
        strings[count++] = (char *) (uintptr_t) string;
      }
  return strings;
}

static int
refuse (struct ts_failure *failure, const char *what)
{
  return ts_refuse (failure, TS_INVALID_ARGUMENT, EINVAL, "read request", "%s", what);
}

/* Names become file and folder names. */
static bool
is_name (const char *name)
{
  size_t size = strlen (name);

  return size > 0 && size <= MAX_NAME && *name != '.'
         && strspn (name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == size;
}

/* Absolute and without a "..": such a path means something else to us than to who wrote it. */
static bool
is_plain_path (const char *path)
{
  if (!path || *path != '/')
    return false;
  for (const char *part = path; part; part = strchr (part + 1, '/'))
    if (strncmp (part, "/..", 3) == 0 && (part[3] == '/' || part[3] == '\0'))
      return false;
  return true;
}

/* The same of a path below a volume. */
static bool
is_plain_sub_path (const char *path)
{
  if (!path || *path == '\0' || *path == '/')
    return false;
  if (strncmp (path, "..", 2) == 0 && (path[2] == '/' || path[2] == '\0'))
    return false;
  path = strchr (path, '/');
  return !path || is_plain_path (path);
}

static int
read_size (const struct ts_field *field, uint16_t *size)
{
  uint32_t number;

  if (ts_field_u32 (field, &number) < 0 || number > UINT16_MAX)
    return -EBADMSG;
  *size = (uint16_t) number;
  return 0;
}

/* Returns 0 also for a field that is none of a process. */
static int
read_process_field (const struct ts_field *field, struct ts_process *process)
{
  switch (field->tag)
    {
    case TS_TAG_CWD:
      return ts_field_string (field, &process->cwd);
    case TS_TAG_UID:
      return ts_field_u32 (field, &process->uid);
    case TS_TAG_GID:
      return ts_field_u32 (field, &process->gid);
    case TS_TAG_GROUP:
      return ts_field_u32 (field, &process->groups[process->group_count++]);
    case TS_TAG_TERMINAL:
      return ts_field_bool (field, &process->terminal);
    case TS_TAG_COLUMNS:
      return read_size (field, &process->columns);
    case TS_TAG_ROWS:
      return read_size (field, &process->rows);
    default:
      return 0;
    }
}

/* The lists; the rest is read field by field. */
static int
begin_process (struct ts_fields fields, struct ts_process *process, struct ts_failure *failure)
{
  size_t groups = count_fields (fields, TS_TAG_GROUP);

  if (groups > MAX_GROUPS)
    return refuse (failure, "too many groups");
  process->argv = read_strings (fields, TS_TAG_ARGUMENT);
  process->env = read_strings (fields, TS_TAG_VARIABLE);
  process->groups = calloc (groups + 1, sizeof *process->groups);
  if (!process->argv || !process->env || !process->groups)
    return refuse (failure, "arguments, environment or groups");
  return 0;
}

static int
check_process (const struct ts_process *process, struct ts_failure *failure)
{
  if (!process->argv[0])
    return refuse (failure, "a command is missing");
  if (!process->cwd || *process->cwd != '/')
    return refuse (failure, "the working directory is not absolute");
  if (process->uid == (uid_t) -1 || process->gid == (gid_t) -1)
    return refuse (failure, "user or group is not a number below 4294967295");
  return 0;
}

static int
read_mount_field (const struct ts_field *field, struct ts_mount *mount)
{
  switch (field->tag)
    {
    case TS_TAG_MOUNT_TYPE:
      return ts_field_u32 (field, &mount->type);
    case TS_TAG_SOURCE:
      return ts_field_string (field, &mount->source);
    case TS_TAG_SUB_PATH:
      return ts_field_string (field, &mount->sub_path);
    case TS_TAG_DESTINATION:
      return ts_field_string (field, &mount->destination);
    case TS_TAG_READ_ONLY:
      return ts_field_bool (field, &mount->read_only);
    case TS_TAG_RECURSIVE:
      return ts_field_bool (field, &mount->recursive);
    case TS_TAG_PROPAGATION:
      return ts_field_u32 (field, &mount->propagation);
    case TS_TAG_SIZE:
      return ts_field_u64 (field, &mount->size);
    case TS_TAG_MODE:
      return ts_field_u32 (field, &mount->mode);
    default:
      return 0;
    }
}

static int
read_mount (const struct ts_field *container, struct ts_mount *mount)
{
  struct ts_fields fields = ts_fields_of (container->value, container->size);
  struct ts_field field;
  int more;

  *mount = (struct ts_mount){ .source = "", .mode = 01777, .tree = -1 };
  while ((more = ts_next_field (&fields, &field)) > 0)
    if (read_mount_field (&field, mount) < 0)
      return -EBADMSG;
  if (more < 0 || mount->type > TS_MOUNT_IMAGE_VOLUME || mount->propagation > TS_RSHARED
      || !is_plain_path (mount->destination))
    return -EBADMSG;
  if (mount->type != TS_MOUNT_TMPFS && *mount->source != '/')
    return -EBADMSG;
  if (mount->type == TS_MOUNT_SUB_PATH && !is_plain_sub_path (mount->sub_path))
    return -EBADMSG;
  return 0;
}

static int
read_seccomp (const struct ts_field *field, struct ts_security *security)
{
  if (field->size == 0 || field->size % sizeof (struct sock_filter)
      || field->size / sizeof (struct sock_filter) > BPF_MAXINSNS)
    return -EBADMSG;
  security->seccomp = field->value;
  security->seccomp_size = field->size;
  return 0;
}

static int
read_rlimit_field (const struct ts_field *field, struct ts_rlimit *rlimit)
{
  switch (field->tag)
    {
    case TS_TAG_RESOURCE:
      return ts_field_u32 (field, &rlimit->resource);
    case TS_TAG_SOFT:
      return ts_field_u64 (field, &rlimit->soft);
    case TS_TAG_HARD:
      return ts_field_u64 (field, &rlimit->hard);
    default:
      return 0;
    }
}

static int
read_rlimit (const struct ts_field *container, struct ts_security *security)
{
  struct ts_fields fields = ts_fields_of (container->value, container->size);
  struct ts_rlimit rlimit = { .resource = UINT32_MAX };
  struct ts_field field;
  int more;

  while ((more = ts_next_field (&fields, &field)) > 0)
    if (read_rlimit_field (&field, &rlimit) < 0)
      return -EBADMSG;
  if (more < 0 || rlimit.resource >= TS_MAX_RLIMITS || rlimit.soft > rlimit.hard
      || security->rlimit_count == TS_MAX_RLIMITS)
    return -EBADMSG;
  security->rlimits[security->rlimit_count++] = rlimit;
  return 0;
}

static int
read_container_field (const struct ts_field *field, struct ts_container_spec *spec)
{
  switch (field->tag)
    {
    case TS_TAG_CONTAINER:
      return ts_field_string (field, &spec->id);
    case TS_TAG_UPPER:
      return ts_field_string (field, &spec->rootfs.upper);
    case TS_TAG_WORK:
      return ts_field_string (field, &spec->rootfs.work);
    case TS_TAG_MOUNTPOINT:
      return ts_field_string (field, &spec->rootfs.mountpoint);
    case TS_TAG_READ_ONLY:
      return ts_field_bool (field, &spec->rootfs.read_only);
    case TS_TAG_MOUNT:
      return read_mount (field, &spec->mounts[spec->mount_count++]);
    case TS_TAG_CAPABILITIES:
      return ts_field_u64 (field, &spec->security.capabilities);
    case TS_TAG_NO_NEW_PRIVILEGES:
      return ts_field_bool (field, &spec->security.no_new_privileges);
    case TS_TAG_PRIVILEGED:
      return ts_field_bool (field, &spec->security.privileged);
    case TS_TAG_SECCOMP:
      return read_seccomp (field, &spec->security);
    case TS_TAG_SECCOMP_FLAGS:
      return ts_field_u32 (field, &spec->security.seccomp_flags);
    case TS_TAG_HOST_PID:
      return ts_field_bool (field, &spec->host_pid);
    case TS_TAG_POD_PID:
      return ts_field_bool (field, &spec->pod_pid);
    case TS_TAG_TARGET:
      return ts_field_string (field, &spec->target);
    case TS_TAG_INIT:
      return ts_field_bool (field, &spec->process.init);
    case TS_TAG_STDIN_OPEN:
      return ts_field_bool (field, &spec->stdin_open);
    case TS_TAG_RLIMIT:
      return read_rlimit (field, &spec->security);
    case TS_TAG_OOM_SCORE_ADJ:
      return ts_field_u32 (field, &spec->oom_score_adj);
    case TS_TAG_LOG_PATH:
      return ts_field_string (field, &spec->log_path);
    case TS_TAG_LOG_MAX_BYTES:
      return ts_field_u64 (field, &spec->log_max_bytes);
    case TS_TAG_LOG_MAX_FILES:
      return ts_field_u32 (field, &spec->log_max_files);
    default:
      return read_process_field (field, &spec->process);
    }
}

static int
begin_container (struct ts_fields fields, struct ts_container_spec *spec, struct ts_failure *failure)
{
  int err = begin_process (fields, &spec->process, failure);

  if (err < 0)
    return err;
  spec->rootfs.lower = read_strings (fields, TS_TAG_LOWER);
  spec->cgroup_dirs = read_strings (fields, TS_TAG_CGROUP_DIR);
  spec->mounts = calloc (count_fields (fields, TS_TAG_MOUNT) + 1, sizeof *spec->mounts);
  if (!spec->rootfs.lower || !spec->cgroup_dirs || !spec->mounts)
    return refuse (failure, "layers, cgroups or mounts");
  return 0;
}

static int
check_container (const struct ts_container_spec *spec, struct ts_failure *failure)
{
  const struct ts_rootfs *rootfs = &spec->rootfs;

  if (!spec->id || !is_name (spec->id))
    return refuse (failure, "the container's id is no file name");
  if (!rootfs->lower[0] || !is_plain_path (rootfs->upper) || !is_plain_path (rootfs->work)
      || !is_plain_path (rootfs->mountpoint))
    return refuse (failure, "the root file system is not complete");
  if (!is_plain_path (spec->log_path))
    return refuse (failure, "the log's path is not absolute");
  if (spec->pod_pid + spec->host_pid + !!spec->target > 1)
    return refuse (failure,
                   "the pid namespace is to be more than one of the pod's, the node's and another container's");
  if (spec->oom_score_adj > 1000)
    return refuse (failure, "oomScoreAdj is over 1000");
  return check_process (&spec->process, failure);
}

int
ts_parse_container (struct ts_fields fields, struct ts_container_spec *spec, struct ts_failure *failure)
{
  struct ts_field field;
  int more = 0;
  int err;

  *spec = (struct ts_container_spec){ .pod_init = -1, .program = -1 };
  err = begin_container (fields, spec, failure);
  while (err == 0 && (more = ts_next_field (&fields, &field)) > 0)
    if (read_container_field (&field, spec) < 0)
      err = ts_refuse (failure, TS_INVALID_ARGUMENT, EINVAL, "read request", "field %u", field.tag);
  if (err == 0 && more < 0)
    err = refuse (failure, "a field does not fit");
  if (err == 0)
    err = check_container (spec, failure);
  if (err < 0)
    ts_free_container (spec);
  return err;
}

int
ts_parse_exec (struct ts_fields fields, struct ts_exec_request *request, struct ts_failure *failure)
{
  struct ts_field field;
  int more = 0;
  int err;

  *request = (struct ts_exec_request){ 0 };
  err = begin_process (fields, &request->process, failure);
  while (err == 0 && (more = ts_next_field (&fields, &field)) > 0)
    {
      if (field.tag == TS_TAG_CONTAINER)
        err = ts_field_string (&field, &request->container);
      else if (field.tag == TS_TAG_STDIN_OPEN)
        err = ts_field_bool (&field, &request->stdin_open);
      else
        err = read_process_field (&field, &request->process);
      if (err < 0)
        err = ts_refuse (failure, TS_INVALID_ARGUMENT, EINVAL, "read request", "field %u", field.tag);
    }
  if (err == 0 && (more < 0 || !request->container))
    err = refuse (failure, "a field does not fit, or no container is named");
  if (err == 0)
    err = check_process (&request->process, failure);
  if (err < 0)
    ts_free_process (&request->process);
  return err;
}

static int
read_target_field (const struct ts_field *field, struct ts_target *target)
{
  switch (field->tag)
    {
    case TS_TAG_CONTAINER:
      return ts_field_string (field, &target->container);
    case TS_TAG_SIGNAL:
      return ts_field_u32 (field, &target->signal);
    case TS_TAG_PID:
      return ts_field_u32 (field, &target->pid);
    case TS_TAG_COLUMNS:
      return ts_field_u32 (field, &target->columns);
    case TS_TAG_ROWS:
      return ts_field_u32 (field, &target->rows);
    case TS_TAG_PORT:
      return ts_field_u32 (field, &target->port);
    case TS_TAG_ENDS_STDIN:
      return ts_field_bool (field, &target->ends_stdin);
    case TS_TAG_EARLY_OUTPUT:
      return ts_field_bool (field, &target->early_output);
    default:
      return 0;
    }
}

int
ts_parse_target (struct ts_fields fields, struct ts_target *target, struct ts_failure *failure)
{
  struct ts_field field;
  int more;

  *target = (struct ts_target){ 0 };
  while ((more = ts_next_field (&fields, &field)) > 0)
    if (read_target_field (&field, target) < 0)
      return ts_refuse (failure, TS_INVALID_ARGUMENT, EINVAL, "read request", "field %u", field.tag);
  return more < 0 ? refuse (failure, "a field does not fit") : 0;
}

void
ts_free_process (struct ts_process *process)
{
  free (process->argv);
  free (process->env);
  free (process->groups);
  *process = (struct ts_process){ 0 };
}

void
ts_free_container (struct ts_container_spec *spec)
{
  ts_free_process (&spec->process);
  free (spec->rootfs.lower);
  free (spec->cgroup_dirs);
  free (spec->mounts);
  *spec = (struct ts_container_spec){ 0 };
}

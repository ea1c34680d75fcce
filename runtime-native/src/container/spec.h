/* What a container is to be: plain validated data, pointing into the request it was parsed from. */
#ifndef TS_CONTAINER_SPEC_H
#define TS_CONTAINER_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* How a process sees the kernel; the same for a container's first process and for an exec. */
struct ts_process
{
  char **argv; /* both end with NULL */
  char **env;
  const char *cwd;
  uid_t uid;
  gid_t gid;
  gid_t *groups;
  size_t group_count;
  bool terminal;
  bool init;        /* a first process only: run it by ts_run_init */
  uint16_t columns; /* of the terminal, 0 when not known */
  uint16_t rows;
};

enum
{
  TS_MAX_RLIMITS = 16,
};

/* RLIM_INFINITY is all ones, as in the kernel. */
struct ts_rlimit
{
  uint32_t resource;
  uint64_t soft;
  uint64_t hard;
};

/* What a container may do; kept by the shim for later execs. */
struct ts_security
{
  struct ts_rlimit rlimits[TS_MAX_RLIMITS];
  size_t rlimit_count;
  uint64_t capabilities; /* bit per number, for uid 0 permitted and effective, for all bounding */
  bool no_new_privileges;
  bool privileged;
  const void *seccomp; /* array of struct sock_filter, NULL for none */
  uint32_t seccomp_size;
  uint32_t seccomp_flags; /* of seccomp(2) */
};

enum ts_mount_type
{
  TS_MOUNT_BIND = 0,
  TS_MOUNT_TMPFS = 1,
  /* A bind of sub_path below source. A type of its own, so that a shim that does not know it refuses the mount: it
     would show the whole source. */
  TS_MOUNT_SUB_PATH = 2,
  /* A bind of the empty folder source, which is first filled with what the image has at the destination. */
  TS_MOUNT_IMAGE_VOLUME = 3,
};

enum ts_propagation
{
  TS_PRIVATE = 0,
  TS_RSLAVE = 1,
  TS_RSHARED = 2,
};

struct ts_mount
{
  uint32_t type;
  const char *source;
  const char *sub_path; /* TS_MOUNT_SUB_PATH only: relative, without ".." */
  const char *destination;
  bool read_only;
  bool recursive;
  uint32_t propagation;
  uint64_t size; /* tmpfs, 0 for none */
  uint32_t mode;
  int tree; /* the source, cloned but not yet attached; -1 until then */
};

struct ts_rootfs
{
  char **lower; /* topmost first, ends with NULL */
  const char *upper;
  const char *work;
  const char *mountpoint;
  bool read_only;
};

struct ts_container_spec
{
  const char *id;
  struct ts_process process;
  struct ts_security security;
  struct ts_rootfs rootfs;
  struct ts_mount *mounts;
  size_t mount_count;
  char **cgroup_dirs; /* the one of v2, or several of v1, that of the memory controller first; ends with NULL */
  const char *shm;    /* folder that becomes /dev/shm */
  bool host_pid;
  bool pod_pid;
  const char *target; /* id of the container whose pid namespace is joined, else NULL */
  int pod_init;       /* with pod_pid or target: pidfd of the first process of the pid namespace, else -1 */
  const char *proc;   /* with pod_pid: where that namespace's /proc is mounted, else NULL */
  int program;        /* this very program */
  bool stdin_open;
  uint32_t oom_score_adj;
  const char *log_path;
  uint64_t log_max_bytes;
  uint32_t log_max_files;
};

#endif

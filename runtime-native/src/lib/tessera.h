/* The library's interface. Every function returns 0 or -errno and fills *res on failure; none prints, exits
   or changes the calling thread's namespaces, signal mask or working directory. Paths are absolute unless
   said otherwise; strings are validated by the caller, but nothing here trusts what a container can write. */
#ifndef TESSERA_H
#define TESSERA_H

#include <stdint.h>

#define TS_EXPORT __attribute__ ((visibility ("default")))

#define TS_STEP_SIZE 60
#define TS_MESSAGE_SIZE 448

/* Why a call failed. Not touched on success. */
struct ts_result
{
  int32_t error;                 /* errno */
  char step[TS_STEP_SIZE];       /* what was being done: "join netns" */
  char message[TS_MESSAGE_SIZE]; /* with what, and the system's words for errno */
};

/* ---- spawn.c ---- */

struct ts_spawn_spec
{
  const char *path;               /* the program */
  const char *const *argv;        /* ends with NULL */
  const char *const *env;         /* ends with NULL */
  const char *netns;              /* network namespace to enter, NULL for the caller's */
  const char *const *cgroup_dirs; /* folders of cgroups to enter, ends with NULL */
  const char *log_path;           /* file that stderr is appended to, NULL for /dev/null */
};

struct ts_spawned
{
  int64_t start_time; /* field 22 of /proc/PID/stat: with the pid it names the process for ever */
  int32_t pid;
  int32_t ready_fd; /* read end of the pipe whose write end is the program's descriptor 3 */
};

TS_EXPORT int ts_spawn_shim (const struct ts_spawn_spec *spec, struct ts_spawned *out, struct ts_result *res);

/* Signals the process that has this pid and start time; -ESRCH when it is gone or the pid was reused. */
TS_EXPORT int ts_signal_process (int32_t pid, int64_t start_time, int32_t signal_number, struct ts_result *res);

/* ---- cgroup*.c ---- */

struct ts_cgroups;

/* Limits; -1 leaves one alone. */
struct ts_cgroup_limits
{
  int64_t cpu_shares;    /* v1 scale, 2 to 262144 */
  int64_t cpu_quota_us;  /* 0: no limit */
  int64_t cpu_period_us; /* with a quota; -1: 100000 */
  int64_t memory_bytes;  /* swap included */
  int64_t pids;
  int32_t default_devices; /* 1: only the devices every container has */
  int32_t reserved;
};

/* -1 where the kernel does not tell. */
struct ts_cgroup_usage
{
  int64_t cpu_ns;
  int64_t memory_bytes;             /* everything charged */
  int64_t memory_working_set_bytes; /* without the file cache that can be dropped at once */
  int64_t pids;
  int64_t oom_kills;
};

/* Finds the hierarchies of this mount namespace and makes the cgroup `root` in each. */
TS_EXPORT int ts_cgroups_open (const char *root, struct ts_cgroups **out, struct ts_result *res);
TS_EXPORT void ts_cgroups_close (struct ts_cgroups *cgroups);

/* `path` is relative to the root, "pod1/app"; "" is the root itself. Making an existing one sets its limits.
 */
TS_EXPORT int ts_cgroup_create (struct ts_cgroups *cgroups, const char *path, const struct ts_cgroup_limits *limits,
                                struct ts_result *res);
/* The folder of the cgroup in each hierarchy, each followed by a newline. */
TS_EXPORT int ts_cgroup_dirs (struct ts_cgroups *cgroups, const char *path, char *out, uint32_t size,
                              struct ts_result *res);
/* Names of the children, each followed by a newline; -ENOBUFS when `size` is too small. */
TS_EXPORT int ts_cgroup_list (struct ts_cgroups *cgroups, const char *path, char *out, uint32_t size,
                              struct ts_result *res);
/* Pids in the cgroup and below; *count is how many there are, which may be more than `capacity`. */
TS_EXPORT int ts_cgroup_processes (struct ts_cgroups *cgroups, const char *path, int32_t *pids, uint32_t capacity,
                                   uint32_t *count, struct ts_result *res);
/* One round: kills all that is in the cgroup and below, waits at most wait_ms for their end, says how many
   are left. The caller repeats it until none is. */
TS_EXPORT int ts_cgroup_kill (struct ts_cgroups *cgroups, const char *path, int32_t wait_ms, uint32_t *left,
                              struct ts_result *res);
/* One round: removes the cgroup and all below it; *busy counts those the kernel still holds. */
TS_EXPORT int ts_cgroup_remove (struct ts_cgroups *cgroups, const char *path, uint32_t *busy, struct ts_result *res);
TS_EXPORT int ts_cgroup_usage (struct ts_cgroups *cgroups, const char *path, struct ts_cgroup_usage *out,
                               struct ts_result *res);

/* ---- seccomp.c ---- */

/* The default filter for a process with these capabilities ("SYS_ADMIN", ..., NULL), as an array of struct
   sock_filter. *size is the room on entry, the length on return; -ENOBUFS when the room is too small. */
TS_EXPORT int ts_seccomp_default (const char *const *capabilities, void *out, uint32_t *size, struct ts_result *res);

/* ---- layer.c ---- */

enum ts_layer_entry_type
{
  TS_LAYER_DIRECTORY = 1,
  TS_LAYER_FILE = 2,
  TS_LAYER_SYMLINK = 3,
  TS_LAYER_HARDLINK = 4,
  TS_LAYER_CHAR_DEVICE = 5,
  TS_LAYER_BLOCK_DEVICE = 6,
  TS_LAYER_FIFO = 7,
  TS_LAYER_WHITEOUT = 8,
  TS_LAYER_OPAQUE = 9,
};

/* One entry of an image layer. `path` and a hardlink's `target` are resolved inside `root` only. */
struct ts_layer_entry
{
  const char *root;
  const char *path;
  const char *target;    /* of a symlink or hardlink, else NULL */
  const uint8_t *xattrs; /* for each: name with its NUL, length of the value (32 bits, native order), value */
  int64_t mtime_seconds;
  int32_t mtime_nanoseconds;
  uint32_t xattrs_size;
  int32_t type;
  uint32_t mode;
  uint32_t uid;
  uint32_t gid;
  uint32_t major;
  uint32_t minor;
};

/* Makes the entry in place of what has its name; folders that are there already stay. *fd is open for writing after
   a file, else -1. */
TS_EXPORT int ts_layer_add (const struct ts_layer_entry *entry, int32_t *fd, struct ts_result *res);
/* Sets what writing to the file undid, its time and its capabilities, and closes fd in any case. */
TS_EXPORT int ts_layer_finish_file (const struct ts_layer_entry *entry, int32_t fd, struct ts_result *res);
/* Sets the time of a folder, which every entry made in it moved. */
TS_EXPORT int ts_layer_finish_folder (const struct ts_layer_entry *entry, struct ts_result *res);

/* ---- tree.c ---- */

/* Removes at most `budget` entries of a tree, without following a link or entering a mount; *done says whether
   nothing is left. The caller repeats it, so that one call does not hold its thread for long. */
TS_EXPORT int ts_remove_tree (const char *path, uint32_t budget, int32_t *done, struct ts_result *res);

/* ---- mounts.c ---- */

/* Lazily unmounts all that is mounted at or below the path, the last mounted first. */
TS_EXPORT int ts_unmount_below (const char *path, struct ts_result *res);
/* size 0: as the kernel thinks best, half of the memory. */
TS_EXPORT int ts_mount_tmpfs (const char *path, int64_t size_bytes, uint32_t mode, struct ts_result *res);

/* ---- layout.c ---- */

/* One line "struct.field offset size" per field and "struct size" per struct, for the binding's own test. */
TS_EXPORT const char *ts_layout (void);

#endif

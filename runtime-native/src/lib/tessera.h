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

/* ---- cgroup*.c ---- */

struct ts_cgroups;

/* What a block device may be asked for per second; -1 leaves one alone. */
struct ts_io_limit
{
  int64_t read_bps;
  int64_t write_bps;
  int64_t read_iops;
  int64_t write_iops;
  uint32_t major;
  uint32_t minor;
};

struct ts_hugepage_limit
{
  int64_t page_bytes;
  int64_t limit_bytes;
};

/* Limits; -1 leaves one alone, and so does NULL. */
struct ts_cgroup_limits
{
  int64_t cpu_shares;    /* v1 scale, 2 to 262144 */
  int64_t cpu_quota_us;  /* 0: no limit */
  int64_t cpu_period_us; /* with a quota; -1: 100000 */
  int64_t memory_bytes;
  int64_t swap_bytes; /* beside memory_bytes; -1: none where memory is limited. v1: only along with it */
  int64_t pids;
  const char *cpuset_cpus; /* "0-2,5" */
  const char *cpuset_mems;
  const struct ts_io_limit *io;
  const struct ts_hugepage_limit *hugepages;
  uint32_t io_count;
  uint32_t hugepage_count;
  int32_t io_weight;       /* v1 scale, 10 to 1000 */
  int32_t default_devices; /* 1: only the devices every container has */
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

/* What is reported of each container again and again. -1 where the kernel does not tell. */
struct ts_cgroup_sample
{
  int64_t time_ns; /* CLOCK_MONOTONIC when it was read; -errno when it could not be, -ENOENT when there is none */
  int64_t cpu_ns;
  int64_t memory_working_set_bytes;
};

/* Finds the hierarchies of this mount namespace and makes the cgroup `root` in each. */
TS_EXPORT int ts_cgroups_open (const char *root, struct ts_cgroups **out, struct ts_result *res);
TS_EXPORT void ts_cgroups_close (struct ts_cgroups *cgroups);

/* `path` is relative to the root, "pod1/app"; "" is the root itself. Making an existing one sets its limits.
 *made: bit i is set when it is in hierarchy i, in the order of ts_cgroup_dirs; limits tell which it needs. */
TS_EXPORT int ts_cgroup_create (struct ts_cgroups *cgroups, const char *path, const struct ts_cgroup_limits *limits,
                                uint32_t *made, struct ts_result *res);
/* The folder of the root in each hierarchy, each followed by a newline. */
TS_EXPORT int ts_cgroup_dirs (struct ts_cgroups *cgroups, char *out, uint32_t size, struct ts_result *res);
/* Names of the children, each followed by a newline, but of those that ended and are set aside; -ENOBUFS when `size` is
   too small. */
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
/* One round of both: removes what is empty at once, else kills first. *busy counts what is left. */
TS_EXPORT int ts_cgroup_clear (struct ts_cgroups *cgroups, const char *path, int32_t wait_ms, uint32_t *busy,
                               struct ts_result *res);
/* One round of a sandbox's end: waits for its shim, which is about to end by itself (pid, 0 for none), then as
   ts_cgroup_clear, which is quicker when it knows the children, and when nothing is
   left of the cgroup a round of ts_remove_tree for the sandbox's folder. *left is 0 once both are gone. */
TS_EXPORT int ts_sandbox_clear (struct ts_cgroups *cgroups, int32_t shim, const char *path, const char *const *children,
                                const char *folder, int32_t wait_ms, uint32_t *left, struct ts_result *res);
/* v1: memory cgroups of pods, right below the root, are not removed by the calls above but set aside, until what the
   pod wrote is on the disk. Removes those where it is by now, at the earliest after 5 seconds. *left are to be seen to
   by a later call. */
TS_EXPORT int ts_cgroups_remove_ended (struct ts_cgroups *cgroups, uint32_t *left, struct ts_result *res);
/* Stops or continues all that runs in the cgroup and below. *left is 0 once it is so; the caller repeats it until then.
 */
TS_EXPORT int ts_cgroup_freeze (struct ts_cgroups *cgroups, const char *path, int32_t freeze, uint32_t *left,
                                struct ts_result *res);
/* *frozen: 1 when the cgroup was told to freeze, whether or not all in it have stopped. */
TS_EXPORT int ts_cgroup_is_frozen (struct ts_cgroups *cgroups, const char *path, int32_t *frozen,
                                   struct ts_result *res);
TS_EXPORT int ts_cgroup_usage (struct ts_cgroups *cgroups, const char *path, struct ts_cgroup_usage *out,
                               struct ts_result *res);
/* `count` cgroups one after the other; each path ends with a newline. */
TS_EXPORT int ts_cgroup_samples (struct ts_cgroups *cgroups, const char *paths, struct ts_cgroup_sample *out,
                                 uint32_t count, struct ts_result *res);

/* ---- spawn.c ---- */

/* Opens a program so that it cannot be written to through /proc/PID/exe of a process that runs it: on a read-only
   mount of its own, which the descriptor and those processes hold (CVE-2019-5736). */
TS_EXPORT int ts_open_program (const char *path, int32_t *program, struct ts_result *res);

struct ts_spawn_spec
{
  const char *const *argv; /* ends with NULL */
  const char *const *env;  /* ends with NULL */
  const char *netns;       /* network namespace to enter, NULL for the caller's */
  const char *folder;      /* made first of all, with the file "sandbox.json" that holds `record`; NULL: none */
  const char *record;
  const char *log_path; /* file that stderr is appended to, NULL for /dev/null */
  struct ts_cgroups *cgroups;
  const char *cgroup; /* made with these limits and entered; on v2 its child "shim" is. NULL: none */
  struct ts_cgroup_limits limits;
  int32_t program; /* as ts_open_program opened it */
  int32_t reserved;
};

struct ts_spawned
{
  int64_t start_time; /* field 22 of /proc/PID/stat: with the pid it names the process for ever */
  int32_t pid;
  int32_t connection; /* a stream socket whose other end is the program's descriptor 3 */
  int32_t ready;      /* 1: it said so there, which was read; 0: that, or something else, is still to come */
  int32_t reserved;
};

/* Waits for the shim to be ready, but not for long: there are few worker threads. A failure of the step "make sandbox's
 * folder" has left nothing, and EEXIST there touched nothing. */
TS_EXPORT int ts_spawn_shim (const struct ts_spawn_spec *spec, struct ts_spawned *out, struct ts_result *res);

/* Signals the process that has this pid and start time; -ESRCH when it is gone or the pid was reused. */
TS_EXPORT int ts_signal_process (int32_t pid, int64_t start_time, int32_t signal_number, struct ts_result *res);

/* ---- seccomp.c ---- */

/* The default filter for a process with these capabilities ("SYS_ADMIN", ..., NULL), as an array of struct
   sock_filter. *size is the room on entry, the length on return; -ENOBUFS when the room is too small. */
TS_EXPORT int ts_seccomp_default (const char *const *capabilities, void *out, uint32_t *size, struct ts_result *res);

/* ---- seccomp-profile.c ---- */

struct ts_seccomp_condition
{
  uint64_t value;
  uint64_t value_two;
  uint32_t argument;   /* 0 to 5 */
  uint32_t comparison; /* enum scmp_compare */
};

struct ts_seccomp_rule
{
  const char *name; /* of the system call */
  uint32_t action;  /* SECCOMP_RET_... */
  uint32_t condition_count;
};

struct ts_seccomp_profile
{
  const char *const *architectures; /* libseccomp's names, beside the machine's own; ends with NULL */
  uint32_t default_action;
  uint32_t rule_count;
};

/* The filter that these rules describe; each takes as many of the conditions as it counts, in order, and applies when
   all hold, or one when they are on the same argument. EINVAL for names that do not exist, E2BIG when the kernel would
   not take so many instructions. */
TS_EXPORT int ts_seccomp_profile (const struct ts_seccomp_profile *profile, const struct ts_seccomp_rule *rules,
                                  const struct ts_seccomp_condition *conditions, void *out, uint32_t *size,
                                  struct ts_result *res);

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

/* ---- folder.c ---- */

/* Makes a folder and in it `names`, which end with NULL: folders or empty files, as S_IFMT of each mode says. Fails
   with EEXIST of the step "make folder" when there is something at `path`; what failed later leaves what was made. */
TS_EXPORT int ts_make_folder (const char *path, uint32_t mode, const char *const *names, const uint32_t *modes,
                              struct ts_result *res);

/* ---- mounts.c ---- */

/* Lazily unmounts all that is mounted at or below the path, the last mounted first. */
TS_EXPORT int ts_unmount_below (const char *path, struct ts_result *res);
/* size 0: as the kernel thinks best, half of the memory. */
TS_EXPORT int ts_mount_tmpfs (const char *path, int64_t size_bytes, uint32_t mode, struct ts_result *res);
/* A hugetlbfs of pages of this size. */
TS_EXPORT int ts_mount_hugepages (const char *path, int64_t page_bytes, uint32_t mode, struct ts_result *res);

/* ---- node-network.c ---- */

/* Addresses are text, "10.64.3.1". */
struct ts_node_network
{
  const char *bridge;         /* name of the bridge that the pods are on */
  const char *bridge_address; /* the node's address on it */
  const char *vxlan;          /* name of the device to the other nodes */
  const char *node_address;   /* where VXLAN packets arrive */
  const char *node_device;    /* device that has it; NULL or "": found */
  int32_t prefix;             /* length of the network that bridge_address is in */
  uint32_t vxlan_id;
  uint32_t vxlan_port;
};

/* Numbers in host order. */
struct ts_peer
{
  uint32_t network; /* of its pods */
  uint32_t prefix;
  uint32_t node_address;
};

/* Makes bridge and VXLAN device as wanted, or mends what differs; ports that lost the bridge are put on it again.
 *mtu is what a pod's device may have. */
TS_EXPORT int ts_network_ensure_node (const struct ts_node_network *spec, int32_t *mtu, struct ts_result *res);
/* Routes, neighbours and forwarding entries of the VXLAN device for exactly these peers. `source` is the address that
   the node's own packets to pods elsewhere have. */
TS_EXPORT int ts_network_set_peers (const char *vxlan, const char *source, const struct ts_peer *peers, uint32_t count,
                                    struct ts_result *res);
/* Takes bridge, VXLAN device and the pods' devices away. Right when they never existed. */
TS_EXPORT int ts_network_remove_node (const char *bridge, const char *vxlan, struct ts_result *res);
/* "NAME ID ADDRESS\n" for each pod's device on the node, or "NAME ID ADDRESS host-ports\n", "NAME \n" for one that is
   nobody's yet. */
TS_EXPORT int ts_network_list_pod_links (char *out, uint32_t size, struct ts_result *res);

/* ---- netns.c ---- */

/* Makes a network namespace with lo and eth0 up, whose other end `link` is a port of the bridge. It has no address
   yet: *control is a netlink socket in it, by which it gets one, and which alone holds it. Closing that lets it go. */
TS_EXPORT int ts_netns_prepare (const char *bridge, const char *link, int32_t mtu, int32_t *control,
                                struct ts_result *res);

struct ts_netns_assignment
{
  const char *link;       /* its device's end on the node */
  const char *id;         /* whose it is, written down at the device */
  const char *address;    /* of the pod */
  const char *gateway;    /* the bridge's address */
  int32_t control;        /* as it was prepared with */
  int32_t has_host_ports; /* ports of the node lead to it */
};

/* Gives a prepared namespace its address and routes. *netns is a descriptor of it, by which others enter it. */
TS_EXPORT int ts_netns_assign (const struct ts_netns_assignment *assignment, int32_t *netns, struct ts_result *res);

/* ---- nft.c ---- */

/* Runs nft commands as one transaction. */
TS_EXPORT int ts_nft_run (const char *commands, struct ts_result *res);
/* What an nft command prints, in nft's JSON, numbers instead of names; -ENOBUFS when `size` is too small. */
TS_EXPORT int ts_nft_list (const char *command, char *out, uint32_t size, struct ts_result *res);

/* ---- host-port.c ---- */

struct ts_host_port
{
  const char *address; /* of the node, "0.0.0.0" for each that it has */
  uint32_t protocol;   /* IPPROTO_TCP, IPPROTO_UDP, IPPROTO_SCTP */
  uint32_t port;
};

/* Takes the port as a server would, so that no other process of the node can have it for as long as *socket is open.
   Nobody reads from it. -1 when the kernel does not speak the protocol itself, where nobody else can have it either. */
TS_EXPORT int ts_host_port_hold (const struct ts_host_port *port, int32_t *socket, struct ts_result *res);
/* Whether packets from and to 127.0.0.0/8 may be routed over this device. */
TS_EXPORT int ts_route_loopback (const char *device, int32_t allow, struct ts_result *res);

/* ---- conntrack.c ---- */

/* The kernel forgets the connections that were led to this pod from a port of the node: what comes next of one is
   looked at anew. Nothing happens where the kernel cannot tell what it tracks. */
TS_EXPORT int ts_conntrack_forget_pod (const char *address, struct ts_result *res);
/* The same for those that were taken as the node's own, to this port of it. */
TS_EXPORT int ts_conntrack_forget_port (const struct ts_host_port *port, struct ts_result *res);

/* ---- memory.c ---- */

/* Gives what malloc holds and nobody uses back to the kernel. */
TS_EXPORT int ts_memory_trim (struct ts_result *res);
/* Lets go of the pages of the running program's own file; each comes back from the page cache when it is touched again.
   Pages of which the process has a copy of its own stay. */
TS_EXPORT int ts_memory_release_program (struct ts_result *res);

/* ---- layout.c ---- */

/* One line "struct.field offset size" per field and "struct size" per struct, for the binding's own test. */
TS_EXPORT const char *ts_layout (void);

#endif

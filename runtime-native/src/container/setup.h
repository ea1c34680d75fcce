/* Setting up a container, in the process that is going to be it. The shim's half is shim/launch.c.

     shim                              child (own pid and mount namespace)
      | ts_start_child (clone) -------> join cgroups, mounts, pivot_root, credentials
      |   <------- channel: PROCESS, when the pod's containers share a pid namespace and the child makes one in there
      |   <------- channel: READY, with the child's credentials
      |                                 execve
      |   <------- channel closed: it runs; or FAILED with step, errno and operand

   Each file of this folder holds one part of it. All work through descriptors in `struct ts_setup`; the child never
   returns to the shim's code, so it frees nothing. */
#ifndef TS_SETUP_H
#define TS_SETUP_H

#include "container/failure.h"
#include "container/process.h"
#include "container/spec.h"

enum
{
  TS_MAX_CGROUPS = 16,
};

struct ts_setup
{
  const struct ts_container_spec *spec;
  struct ts_failure *failure;
  int cgroups[TS_MAX_CGROUPS]; /* folders, as many as the spec names */
  int root;                    /* of the container's file system */
  int memory;                  /* file system for the folders that we make */
  int proc;
  int sys;
  int dev;
  int pts;
  int null; /* /dev/null of the container, made by us */
  int kept[TS_KEPT_COUNT];
};

/* Each returns 0 or -errno and fills setup->failure. In the order in which they run: */
int ts_enter_cgroups (struct ts_setup *setup);
int ts_set_oom_score (uint32_t value, struct ts_failure *failure);
int ts_clone_volumes (struct ts_setup *setup);
int ts_mount_rootfs (struct ts_setup *setup);
int ts_mount_memory (struct ts_setup *setup);
int ts_mount_proc (struct ts_setup *setup);
int ts_mount_sys (struct ts_setup *setup);
int ts_mount_cgroups (struct ts_setup *setup);
int ts_mount_dev (struct ts_setup *setup);
int ts_mask_paths (struct ts_setup *setup);
int ts_fill_image_volumes (struct ts_setup *setup);
int ts_attach_volumes (struct ts_setup *setup);

/* Makes a folder in the setup's file system in memory. Returns a mount of it with these attributes, which are not 0, to
   be attached; or -errno, and fills setup->failure. */
int ts_clone_memory_folder (struct ts_setup *setup, const char *name, mode_t mode, uint64_t attributes);

/* Makes the mount the process's root; the old one can no longer be reached by path. */
int ts_change_root (int root, struct ts_failure *failure);

/* Runs in a fresh child; in, out and err become 0, 1 and 2 (ignored with a terminal). */
_Noreturn void ts_start_child (const struct ts_container_spec *spec, int channel, const int stdio[3]);

/* Of an exec: nothing is kept open. */
int ts_join_cgroups (char *const *dirs, struct ts_failure *failure);

/* How a process joins a container that runs. */
struct ts_join_spec
{
  const struct ts_process *process;
  const struct ts_security *security;
  char *const *cgroup_dirs;
  uint32_t oom_score_adj;
  int pidfd; /* of the container's first process */
  int tools; /* a static program that is the command when the image has none of its name; -1 for none */
};

/* Runs in a fresh child, which enters the namespaces and makes the process itself as its sibling. */
_Noreturn void ts_join_child (const struct ts_join_spec *spec, int channel, const int stdio[3]);

#endif

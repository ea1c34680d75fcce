/* The new mount API in three words: make a file system, clone a tree, attach either by descriptor. */
#ifndef TS_MOUNTS_H
#define TS_MOUNTS_H

#include <stdint.h>

#include "container/failure.h"
#include "container/rootpath.h"

#define TS_PROC_ATTRIBUTES (MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)

struct ts_option
{
  const char *key; /* NULL ends the list */
  const char *value;
};

/* Returns a descriptor of the mount, not attached yet; or -errno, and the failure names the file system. */
int ts_new_mount (const char *type, const struct ts_option *options, unsigned attributes, struct ts_failure *failure);

/* Returns a detached clone of what fd refers to, with these attributes added; or -errno. */
int ts_clone_mount (int fd, unsigned flags, uint64_t attributes);

/* Attaches `mount` at a folder of the root that is no link, made when missing. */
int ts_attach_at (int root, const char *path, int mount, struct ts_failure *failure);

/* Adds attributes to the mount, and to those below it with AT_RECURSIVE in flags. */
int ts_set_attributes (int mount, unsigned flags, uint64_t attributes);

#endif

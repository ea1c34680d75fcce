/* Paths inside a container's root, which its image and its neighbours may have prepared against us: every one is
   resolved by the kernel with RESOLVE_IN_ROOT and used only through the descriptor that comes out. */
#ifndef TS_ROOTPATH_H
#define TS_ROOTPATH_H

#include <stdint.h>

enum ts_entry
{
  TS_DIRECTORY,
  TS_FILE,
};

/* Opens `path` below `root` (O_PATH unless other flags are given). Returns a descriptor or -errno. With RESOLVE_BENEATH
   in `resolve` what would lead out is refused with -EXDEV, otherwise the root's edge is the end of the world. */
int ts_root_open (int root, const char *path, uint64_t flags, uint64_t resolve);

/* The same, and makes what is missing: folders 0755, an empty file 0644. With RESOLVE_NO_SYMLINKS in `resolve` a
   link anywhere is refused with -ELOOP, otherwise links are followed inside the root. */
int ts_root_make (int root, const char *path, enum ts_entry entry, uint64_t resolve);

#endif

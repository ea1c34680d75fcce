/* A path below a volume, which whoever writes the volume may have prepared against us, and may change meanwhile. */
#ifndef TS_SUBPATH_H
#define TS_SUBPATH_H

/* Opens `path` (O_PATH) without ever leaving the folder `volume`: links are followed inside only. Folders that are
   missing are made with the mode of the volume. Returns a descriptor or -errno; -EXDEV when the path leads out. */
int ts_open_sub_path (int volume, const char *path);

#endif

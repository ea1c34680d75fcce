#ifndef TS_TEXT_FILE_H
#define TS_TEXT_FILE_H

/* Reads a whole file, whose size the kernel does not tell beforehand; the caller frees *text. Returns 0 or
 * -errno. */
int read_text_file (int dirfd, const char *path, char **text);

#endif

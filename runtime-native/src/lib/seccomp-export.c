#include "lib/seccomp-export.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/cleanup.h"

int
ts_export_filter (scmp_filter_ctx filter, struct sock_filter *out, uint32_t *size)
{
  const uint32_t room = *size;
  cleanup_close int fd = memfd_create ("tessera-seccomp", MFD_CLOEXEC);
  struct stat stat;
  int err;

  if (fd < 0)
    return -errno;
  err = seccomp_export_bpf (filter, fd);
  if (err < 0)
    return err;
  if (fstat (fd, &stat) < 0)
    return -errno;
  if (stat.st_size / (off_t) sizeof *out > BPF_MAXINSNS)
    return -E2BIG;
  *size = (uint32_t) stat.st_size;
  if (*size > room)
    return -ENOBUFS;
  return pread (fd, out, *size, 0) == (ssize_t) *size ? 0 : -EIO;
}

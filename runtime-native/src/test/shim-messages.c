/* The shim's reading of requests and its log, under ASan and UBSan: as they should be, and mangled in many ways. */
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

/* The library that this program is linked with has failures of its own. */
#define ts_fail shim_fail
#define ts_fail_step shim_fail_step
#define ts_refuse shim_refuse
#include "container/failure.c"
#include "shim/log.c"
#include "shim/request.c"
#include "shim/wire.c"

#include "test/check.h"

static void
put_process (struct ts_buffer *frame)
{
  ts_put_string (frame, TS_TAG_ARGUMENT, "/bin/sh");
  ts_put_string (frame, TS_TAG_ARGUMENT, "-c");
  ts_put_string (frame, TS_TAG_VARIABLE, "PATH=/bin");
  ts_put_string (frame, TS_TAG_CWD, "/");
  ts_put_u32 (frame, TS_TAG_UID, 1000);
  ts_put_u32 (frame, TS_TAG_GID, 2000);
  ts_put_u32 (frame, TS_TAG_GROUP, 7);
  ts_put_u32 (frame, TS_TAG_GROUP, 9);
  ts_put_u32 (frame, TS_TAG_TERMINAL, 1);
}

static void
put_sub_path (struct ts_buffer *frame, const char *sub_path)
{
  size_t begin = ts_begin_field (frame, TS_TAG_MOUNT);

  ts_put_u32 (frame, TS_TAG_MOUNT_TYPE, TS_MOUNT_SUB_PATH);
  ts_put_string (frame, TS_TAG_SOURCE, "/srv/data");
  ts_put_string (frame, TS_TAG_DESTINATION, "/data");
  if (sub_path)
    ts_put_string (frame, TS_TAG_SUB_PATH, sub_path);
  ts_end_field (frame, begin);
}

static void
put_mount (struct ts_buffer *frame, const char *destination)
{
  size_t begin = ts_begin_field (frame, TS_TAG_MOUNT);

  ts_put_u32 (frame, TS_TAG_MOUNT_TYPE, TS_MOUNT_BIND);
  ts_put_string (frame, TS_TAG_SOURCE, "/srv/data");
  ts_put_string (frame, TS_TAG_DESTINATION, destination);
  ts_put_u32 (frame, TS_TAG_READ_ONLY, 1);
  ts_put_u32 (frame, TS_TAG_PROPAGATION, TS_RSLAVE);
  ts_put_u64 (frame, TS_TAG_SIZE, 1 << 20);
  ts_end_field (frame, begin);
}

static struct ts_buffer
make_container (const char *destination)
{
  static const uint64_t program[] = { 1, 2, 3 };
  struct ts_buffer frame = { 0 };
  size_t begin;

  ts_put_string (&frame, TS_TAG_CONTAINER, "app_0");
  put_process (&frame);
  ts_put_string (&frame, TS_TAG_LOWER, "/layers/b");
  ts_put_string (&frame, TS_TAG_LOWER, "/layers/a");
  ts_put_string (&frame, TS_TAG_UPPER, "/upper");
  ts_put_string (&frame, TS_TAG_WORK, "/work");
  ts_put_string (&frame, TS_TAG_MOUNTPOINT, "/root");
  put_mount (&frame, destination);
  ts_put_u64 (&frame, TS_TAG_CAPABILITIES, 0xa80425fb);
  begin = ts_begin_field (&frame, TS_TAG_SECCOMP);
  ts_append (&frame, program, sizeof program);
  ts_end_field (&frame, begin);
  ts_put_string (&frame, TS_TAG_CGROUP_DIR, "/sys/fs/cgroup/x");
  ts_put_string (&frame, TS_TAG_LOG_PATH, "/var/log/app");
  ts_put_u64 (&frame, TS_TAG_LOG_MAX_BYTES, 1000);
  ts_put_u32 (&frame, TS_TAG_LOG_MAX_FILES, 3);
  ts_put_u32 (&frame, TS_TAG_POD_PID, 1);
  ts_put_u32 (&frame, TS_TAG_INIT, 1);
  ts_put_u32 (&frame, TS_TAG_SECCOMP_FLAGS, 6);
  ts_put_u32 (&frame, 999, 1);
  return frame;
}

static void
test_a_container_is_read_as_it_was_written (void)
{
  struct ts_buffer frame = make_container ("/data");
  struct ts_container_spec spec;
  struct ts_failure failure = { 0 };

  CHECK (ts_parse_container (ts_fields_of (frame.bytes, frame.size), &spec, &failure) == 0);
  CHECK_TEXT (spec.id, "app_0");
  CHECK_TEXT (spec.process.argv[1], "-c");
  CHECK (spec.process.argv[2] == NULL);
  CHECK (spec.process.uid == 1000 && spec.process.gid == 2000 && spec.process.terminal);
  CHECK (spec.process.group_count == 2 && spec.process.groups[1] == 9);
  CHECK_TEXT (spec.rootfs.lower[1], "/layers/a");
  CHECK (spec.mount_count == 1 && spec.mounts[0].read_only && spec.mounts[0].propagation == TS_RSLAVE);
  CHECK (spec.mounts[0].size == 1 << 20 && spec.mounts[0].tree == -1);
  CHECK (spec.security.capabilities == 0xa80425fb && spec.security.seccomp_size == 24);
  CHECK (spec.security.seccomp_flags == 6 && spec.process.init && spec.pod_pid && !spec.host_pid);
  CHECK (spec.pod_init == -1 && spec.program == -1 && !spec.proc);
  CHECK (spec.log_max_files == 3);
  ts_free_container (&spec);
  ts_free_buffer (&frame);
}

static void
test_a_pid_namespace_is_the_pods_or_the_nodes (void)
{
  struct ts_buffer frame = make_container ("/data");
  struct ts_container_spec spec;
  struct ts_failure failure = { 0 };

  ts_put_u32 (&frame, TS_TAG_HOST_PID, 1);
  CHECK (ts_parse_container (ts_fields_of (frame.bytes, frame.size), &spec, &failure) == -EINVAL);
  CHECK (failure.reason == TS_INVALID_ARGUMENT);
  ts_free_buffer (&frame);
}

static void
test_destinations_that_climb_are_refused (void)
{
  static const char *const bad[] = { "data", "", "/data/..", "/../etc", "/a/../b" };
  static const char *const good[] = { "/", "/..data", "/a/...", "/a..b/c" };
  struct ts_container_spec spec;

  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    {
      struct ts_buffer frame = make_container (bad[i]);
      struct ts_failure failure = { 0 };

      CHECK (ts_parse_container (ts_fields_of (frame.bytes, frame.size), &spec, &failure) == -EINVAL);
      CHECK (failure.reason == TS_INVALID_ARGUMENT);
      ts_free_buffer (&frame);
    }
  for (size_t i = 0; i < sizeof good / sizeof *good; i++)
    {
      struct ts_buffer frame = make_container (good[i]);
      struct ts_failure failure = { 0 };

      CHECK (ts_parse_container (ts_fields_of (frame.bytes, frame.size), &spec, &failure) == 0);
      ts_free_container (&spec);
      ts_free_buffer (&frame);
    }
}

static void
test_sub_paths_that_climb_are_refused (void)
{
  static const char *const bad[] = { NULL, "", "/", "/a", "..", "../a", "a/..", "a/../b", "a//.." };
  static const char *const good[] = { ".", "a", "..data/a", "a/..b/c", "a/.../b", "a/" };
  struct ts_container_spec spec;

  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    {
      struct ts_buffer frame = make_container ("/data");
      struct ts_failure failure = { 0 };

      put_sub_path (&frame, bad[i]);
      CHECK (ts_parse_container (ts_fields_of (frame.bytes, frame.size), &spec, &failure) == -EINVAL);
      ts_free_buffer (&frame);
    }
  for (size_t i = 0; i < sizeof good / sizeof *good; i++)
    {
      struct ts_buffer frame = make_container ("/data");
      struct ts_failure failure = { 0 };

      put_sub_path (&frame, good[i]);
      CHECK (ts_parse_container (ts_fields_of (frame.bytes, frame.size), &spec, &failure) == 0);
      CHECK_TEXT (spec.mounts[1].sub_path, good[i]);
      ts_free_container (&spec);
      ts_free_buffer (&frame);
    }
}

static uint64_t
next_random (uint64_t *state)
{
  *state ^= *state << 13;
  *state ^= *state >> 7;
  *state ^= *state << 17;
  return *state;
}

static void
parse_everything (const uint8_t *bytes, size_t size)
{
  struct ts_container_spec spec;
  struct ts_exec_request exec;
  struct ts_target target;
  struct ts_failure failure = { 0 };

  if (ts_parse_container (ts_fields_of (bytes, size), &spec, &failure) == 0)
    ts_free_container (&spec);
  if (ts_parse_exec (ts_fields_of (bytes, size), &exec, &failure) == 0)
    ts_free_process (&exec.process);
  ts_parse_target (ts_fields_of (bytes, size), &target, &failure);
}

/* Each variant in memory of exactly its size, so that one byte too far is seen. */
static void
test_mangled_requests_do_no_harm (void)
{
  const uint64_t seed = 0x7e55e7a;
  struct ts_buffer frame = make_container ("/data");
  uint64_t state = seed;

  for (int round = 0; round < 60000; round++)
    {
      size_t size = next_random (&state) % 4 ? frame.size : next_random (&state) % (frame.size + 1);
      uint8_t *bytes = malloc (size ? size : 1);

      CHECK (bytes);
      memcpy (bytes, frame.bytes, size);
      for (uint64_t changes = next_random (&state) % 6; size && changes > 0; changes--)
        bytes[next_random (&state) % size] = (uint8_t) next_random (&state);
      parse_everything (bytes, size);
      free (bytes);
    }
  ts_free_buffer (&frame);
}

static void
test_a_log_is_whole_however_it_arrives (void)
{
  int fd = memfd_create ("log", MFD_CLOEXEC);
  struct ts_log log = { .fd = fd };
  struct ts_partial partial = { 0 };
  char text[50000];
  char found[200000];
  uint64_t state = 42;
  ssize_t size;
  size_t lines = 0;

  for (size_t i = 0; i < sizeof text; i++)
    text[i] = i % 20011 < 100 && i % 7 == 0 ? '\n' : 'x';
  for (size_t at = 0; at < sizeof text;)
    {
      size_t piece = next_random (&state) % 9000;

      piece = piece < sizeof text - at ? piece : sizeof text - at;
      ts_log_bytes (&log, false, &partial, text + at, piece);
      at += piece;
    }
  ts_log_rest (&log, false, &partial);
  CHECK (partial.text == NULL);
  size = pread (fd, found, sizeof found, 0);
  CHECK (size > 0 && (uint64_t) size == log.size && found[size - 1] == '\n');
  /* Without heads and with the newlines of parts left out it is what went in. */
  for (size_t in = 0, out = 0; in < (size_t) size; lines++)
    {
      const char *end = memchr (found + in, '\n', (size_t) size - in);
      bool part = found[in + TS_LOG_TIME + 8] == 'P';
      size_t start = in + TS_LOG_TIME + 10;

      CHECK (end && memcmp (found + in + TS_LOG_TIME, " stdout ", 8) == 0);
      CHECK (memcmp (found + start, text + out, (size_t) (end - found) - start) == 0);
      out += (size_t) (end - found) - start;
      in = (size_t) (end - found) + 1;
      if (!part && in < (size_t) size)
        CHECK (text[out++] == '\n');
    }
  CHECK (lines > 40);
  close (fd);
}

static void
test_times (void)
{
  char text[TS_LOG_TIME + 1];

  ts_format_time (text, 0, 0);
  CHECK_TEXT (text, "1970-01-01T00:00:00.000000000Z");
  ts_format_time (text, 1795297200, 123456789);
  CHECK_TEXT (text, "2026-11-21T21:40:00.123456789Z");
}

int
main (void)
{
  test_a_container_is_read_as_it_was_written ();
  test_a_pid_namespace_is_the_pods_or_the_nodes ();
  test_destinations_that_climb_are_refused ();
  test_sub_paths_that_climb_are_refused ();
  test_mangled_requests_do_no_harm ();
  test_a_log_is_whole_however_it_arrives ();
  test_times ();
  return 0;
}

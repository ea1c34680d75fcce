/* Layers and trees under the sanitizers: attributes that end too early, names of all lengths. */
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "lib/tessera.h"
#include "test/check.h"

static char root[] = "/tmp/tessera-layers-XXXXXX";

static int
add_with_xattrs (const uint8_t *xattrs, size_t size)
{
  /* A copy without a byte behind it. */
  uint8_t *copy = malloc (size ? size : 1);
  struct ts_layer_entry entry = {
    .root = root,
    .path = "file",
    .type = TS_LAYER_FILE,
    .mode = 0644,
    .xattrs = copy,
    .xattrs_size = (uint32_t) size,
  };
  struct ts_result res;
  int32_t fd;
  int err;

  memcpy (copy, xattrs, size);
  err = ts_layer_add (&entry, &fd, &res);
  if (fd >= 0)
    close (fd);
  free (copy);
  return err;
}

static void
test_cut_attributes_are_refused (void)
{
  const uint8_t sound[] = { 'u', 's', 'e', 'r', '.', 'a', 0, 3, 0, 0, 0, 'x', 'y', 'z' };

  for (size_t size = 1; size < sizeof sound; size++)
    CHECK (add_with_xattrs (sound, size) == -EINVAL);
  CHECK (add_with_xattrs (sound, 0) == 0);
}

static void
test_names_of_all_lengths (void)
{
  char path[9000];
  struct ts_layer_entry entry = { .root = root, .path = path, .type = TS_LAYER_DIRECTORY, .mode = 0755 };
  struct ts_result res;
  int32_t fd;

  for (size_t length = 1; length < sizeof path; length += length < 300 ? 1 : 977)
    {
      int err;

      memset (path, 'n', length);
      path[length] = '\0';
      err = ts_layer_add (&entry, &fd, &res);
      CHECK (length <= 255 ? err == 0 : err == -ENAMETOOLONG);
    }
  for (size_t length = 1; length < sizeof path - 1; length += 977)
    {
      for (size_t at = 0; at < length; at++)
        path[at] = at % 2 ? '/' : 'd';
      path[length] = '\0';
      CHECK (ts_layer_add (&entry, &fd, &res) == (length < 4096 ? 0 : -ENAMETOOLONG));
    }
}

static void
test_many_shapes_of_one_place (void)
{
  static const char *const same[] = { "a/b", "/a/b", "./a/b", "a//b", "a/./b", "//a///b//" };
  struct ts_layer_entry entry = { .root = root, .type = TS_LAYER_DIRECTORY, .mode = 0700 };
  struct ts_result res;
  struct stat first, next;
  char path[64];
  int32_t fd;

  snprintf (path, sizeof path, "%s/a/b", root);
  for (size_t i = 0; i < sizeof same / sizeof *same; i++)
    {
      entry.path = same[i];
      CHECK (ts_layer_add (&entry, &fd, &res) == 0);
      CHECK (stat (path, &next) == 0);
      CHECK (i == 0 || first.st_ino == next.st_ino);
      first = next;
    }
}

static void
test_a_budget_ends_a_call_not_the_removal (void)
{
  struct ts_result res;
  int32_t done = 0;
  int calls = 0;

  for (; !done; calls++)
    CHECK (ts_remove_tree (root, 50, &done, &res) == 0 && calls < 1000);
  CHECK (calls > 5);
  CHECK (access (root, F_OK) < 0 && errno == ENOENT);
}

int
main (void)
{
  CHECK (mkdtemp (root));
  test_cut_attributes_are_refused ();
  test_names_of_all_lengths ();
  test_many_shapes_of_one_place ();
  test_a_budget_ends_a_call_not_the_removal ();
  return 0;
}

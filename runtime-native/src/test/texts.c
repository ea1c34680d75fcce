/* Texts of the kernel, as they are and as they should not be. */
#include <errno.h>

#include "lib/cgroup.h"
#include "lib/memory.h"
#include "lib/mounts.h"
#include "lib/process.h"
#include "test/check.h"

static const char v1_mounts[]
    = "22 27 0:21 / /sys rw,nosuid - sysfs sysfs rw\n"
      "30 22 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
      "31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct\n"
      "32 30 0:28 / /sys/fs/cgroup/memory rw,relatime shared:10 master:3 - cgroup cgroup rw,memory\n"
      "33 30 0:29 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids\n"
      "34 30 0:28 / /mnt/again rw,relatime - cgroup cgroup rw,memory\n"
      "35 30 0:30 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd\n"
      "36 30 0:31 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw,nsdelegate\n";

static void
test_v1_wins_over_an_empty_v2 (void)
{
  struct cgroup_layout layout;

  CHECK (parse_cgroup_mounts (v1_mounts, &layout) == 0);
  CHECK (!layout.unified);
  CHECK (layout.count == 3);
  CHECK_TEXT (layout.hierarchies[0].mount, "/sys/fs/cgroup/memory");
  CHECK_TEXT (layout.hierarchies[1].mount, "/sys/fs/cgroup/cpu,cpuacct");
  CHECK (layout.hierarchies[1].controllers == (CONTROLLER_CPU | CONTROLLER_CPUACCT));
  CHECK_TEXT (layout.hierarchies[2].mount, "/sys/fs/cgroup/pids");
  CHECK (layout.bare_count == 2);
  CHECK_TEXT (layout.hierarchies[3].mount, "/sys/fs/cgroup/systemd");
  CHECK_TEXT (layout.hierarchies[4].mount, "/sys/fs/cgroup/unified");
}

static void
test_v2_alone (void)
{
  struct cgroup_layout layout;

  CHECK (parse_cgroup_mounts ("36 30 0:31 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"
                              "37 30 0:32 / /mnt/with\\040space rw - cgroup cgroup rw,freezer\n",
                              &layout)
         == 0);
  CHECK (layout.unified);
  CHECK (layout.count == 1 && layout.bare_count == 0);
  CHECK_TEXT (layout.hierarchies[0].mount, "/sys/fs/cgroup");
}

static void
test_mounts_of_another_namespace_and_broken_lines (void)
{
  static const char *const broken[] = {
    "",
    "\n\n",
    "36",
    "36 30 0:31 / /sys/fs/cgroup",
    "36 30 0:31 / /sys/fs/cgroup rw",
    "36 30 0:31 / /sys/fs/cgroup rw -",
    "36 30 0:31 / /sys/fs/cgroup rw - ",
    "36 30 0:31 / /sys/fs/cgroup rw - cgroup2",
    "36 30 0:31 / /sys/fs/cgroup rw - cgroup2 x",
    "36 30 0:31 /.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw",
    "36 30 0:31 /../.. /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory",
  };
  struct cgroup_layout layout;

  for (size_t i = 0; i < sizeof broken / sizeof *broken; i++)
    CHECK (parse_cgroup_mounts (broken[i], &layout) == -ENOENT);
}

static void
test_more_hierarchies_than_there_is_room_for (void)
{
  char text[4096]
      = "1 2 0:3 / /c/s rw - cgroup cgroup rw,name=systemd\n1 2 0:3 / /c/n rw - cgroup cgroup rw,name=systemd\n"
        "1 2 0:3 / /c/o rw - cgroup cgroup rw,name=systemd2\n1 2 0:3 / /c/u rw - cgroup2 cgroup2 rw\n";
  struct cgroup_layout layout;
  static const char *const names[] = { "cpu", "cpuacct", "cpuset", "memory", "pids", "freezer", "devices" };

  for (size_t i = 0; i < sizeof names / sizeof *names; i++)
    snprintf (text + strlen (text), sizeof text - strlen (text), "1 2 0:3 / /c/%s rw - cgroup cgroup rw,%s\n", names[i],
              names[i]);
  CHECK (parse_cgroup_mounts (text, &layout) == 0);
  CHECK (layout.count == 7 && layout.bare_count == 2 && layout.count + layout.bare_count <= MAX_HIERARCHIES);
  CHECK_TEXT (layout.hierarchies[7].mount, "/c/s");
  CHECK_TEXT (layout.hierarchies[8].mount, "/c/u");
}

static void
test_cgroup_paths (void)
{
  static const char *const good[] = { "a", "pod1/app_0", "a/b/c", "...", "a..b", ".hidden" };
  static const char *const bad[] = { ".", "..", "/a", "a/", "a//b", "../a", "a/../b", "a/..", "a\nb", "a/b\n" };
  char long_name[600];

  for (size_t i = 0; i < sizeof good / sizeof *good; i++)
    CHECK (is_cgroup_path (good[i], false));
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    CHECK (!is_cgroup_path (bad[i], true));
  CHECK (is_cgroup_path ("", true) && !is_cgroup_path ("", false));
  memset (long_name, 'a', sizeof long_name);
  long_name[256] = '\0';
  CHECK (!is_cgroup_path (long_name, false));
  long_name[255] = '\0';
  CHECK (is_cgroup_path (long_name, false));
}

static void
test_weights (void)
{
  CHECK (weight_of_shares (2) == 1);
  CHECK (weight_of_shares (0) == 1);
  CHECK (weight_of_shares (1024) == 100);
  CHECK (weight_of_shares (262144) == 10000);
  CHECK (weight_of_shares (1 << 30) == 10000);
  for (int64_t shares = 3; shares < 262144; shares += 7)
    CHECK (weight_of_shares (shares) >= weight_of_shares (shares - 1) && weight_of_shares (shares) <= 10000);
}

static void
test_start_times (void)
{
  CHECK (parse_start_time ("12 (sh) S 1 12 12 0 -1 4 1 0 0 0 0 0 0 0 20 0 1 0 4711 25 7\n") == 4711);
  CHECK (parse_start_time ("12 (a) S) x ( y) S 1 12 12 0 -1 4 1 0 0 0 0 0 0 0 20 0 1 0 4711 25 7\n") == 4711);
  CHECK (parse_start_time ("") == -EINVAL);
  CHECK (parse_start_time ("12 (sh") == -EINVAL);
  CHECK (parse_start_time ("12 (sh) S 1 2 3") == -EINVAL);
  CHECK (parse_start_time ("12 (sh) S 1 12 12 0 -1 4 1 0 0 0 0 0 0 0 20 0 1 0 x") == -EINVAL);
  CHECK (parse_start_time ("12 (sh) S 1 12 12 0 -1 4 1 0 0 0 0 0 0 0 20 0 1 0 -5 ") == -EINVAL);
}

static void
test_mount_points (void)
{
  char line[] = "36 35 98:0 /mnt1 /mnt2/a\\040b\\011c\\134d rw,noatime master:1 - ext3 /dev/root rw";
  char short_line[] = "36 35 98:0 /mnt1";
  char escapes[] = "\\04\\999\\\\040";

  CHECK_TEXT (mount_point_of_line (line), "/mnt2/a b\tc\\d");
  CHECK (!mount_point_of_line (short_line));
  /* Whatever it makes of nonsense, it stays inside. */
  unescape_mount_path (escapes);
  CHECK (is_at_or_below ("/a/b", "/a/b") && is_at_or_below ("/a/b/c", "/a/b") && is_at_or_below ("/x", "/"));
  CHECK (!is_at_or_below ("/a/bc", "/a/b") && !is_at_or_below ("/a", "/a/b"));
}

/* As /proc/PID/smaps shows a mapping, with the fields that could be mistaken for the beginning of one. */
#define MAPPING(range, permissions, file, anonymous, swap)                                       \
  range " " permissions " 00001000 08:01 " file "\nSize: 8 kB\nRss: 8 kB\nAnonymous: " anonymous \
        " kB\nFilePmdMapped: 0 kB\nSwap: " swap " kB\nSwapPss: 0 kB\nVmFlags: rd ex\n"

static void
test_clean_mappings (void)
{
  static const char smaps[] = MAPPING ("00400000-00402000", "r--p", "1234   /bin/a b", "0", "0") /* the first */
      MAPPING ("00402000-00404000", "r-xp", "1234   /bin/a b", "4", "0")                         /* a breakpoint */
      MAPPING ("00404000-00406000", "r--p", "1234   /bin/a b", "0", "4")          /* relocated, and swapped out */
      MAPPING ("00406000-00408000", "rw-p", "1234   /bin/a b", "0", "0")          /* may be written to at any time */
      MAPPING ("00408000-0040a000", "r--s", "1234   /bin/a b", "0", "0")          /* shared */
      MAPPING ("0040a000-0040c000", "---p", "1234   /bin/a b", "0", "0")          /* a gap */
      MAPPING ("0040c000-0040e000", "r--p", "1234   /bin/a bc", "0", "0")         /* another one */
      MAPPING ("0040e000-00410000", "r--p", "0 ", "0", "0")                       /* no file */
      MAPPING ("7f0000000000-7f0000002000", "r-xp", "1234   /bin/a b", "0", "0"); /* the last */
  struct clean_mapping mapping;
  const char *at = next_clean_mapping (smaps, "/bin/a b", &mapping);

  CHECK (at && mapping.start == 0x400000 && mapping.end == 0x402000 && mapping.is_program);
  at = next_clean_mapping (at, "/bin/a b", &mapping);
  CHECK (at && mapping.start == 0x40c000 && mapping.end == 0x40e000 && !mapping.is_program);
  at = next_clean_mapping (at, "/bin/a b", &mapping);
  CHECK (at && mapping.start == 0x7f0000000000 && mapping.end == 0x7f0000002000 && mapping.is_program);
  CHECK (!next_clean_mapping (at, "/bin/a b", &mapping));
  CHECK (next_clean_mapping (smaps, "/bin/a", &mapping) && !mapping.is_program);
  CHECK (!next_clean_mapping ("", "/bin/a b", &mapping));
  /* Cut off anywhere it finds less, and nothing that is not there. */
  for (size_t length = 0; length < sizeof smaps; length++)
    {
      char cut[sizeof smaps];

      memcpy (cut, smaps, length);
      cut[length] = '\0';
      for (at = cut; (at = next_clean_mapping (at, "/bin/a b", &mapping));)
        CHECK (mapping.start == 0x400000 || mapping.start == 0x40c000 || mapping.start == 0x7f0000000000);
    }
}

int
main (void)
{
  test_v1_wins_over_an_empty_v2 ();
  test_v2_alone ();
  test_mounts_of_another_namespace_and_broken_lines ();
  test_more_hierarchies_than_there_is_room_for ();
  test_cgroup_paths ();
  test_weights ();
  test_start_times ();
  test_mount_points ();
  test_clean_mappings ();
  return 0;
}

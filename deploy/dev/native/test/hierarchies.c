/* What mountinfo says of cgroups on the kinds of machines that there are. */
#include "../cgroup.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

static struct hierarchies hierarchies;

static void
parse (const char *mountinfo)
{
  char copy[4096];

  snprintf (copy, sizeof copy, "%s", mountinfo);
  hierarchies_parse (copy, &hierarchies);
}

static void
is (int index, const char *mount, const char *options, bool is_v2)
{
  const struct hierarchy *item = &hierarchies.items[index];
  assert (index < hierarchies.count);
  assert (strcmp (item->mount, mount) == 0);
  assert (strcmp (item->options, options) == 0);
  assert (item->is_v2 == is_v2);
}

int
main (void)
{
  /* v2 alone: systemd today. */
  parse ("22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n"
         "30 22 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 "
         "rw,nsdelegate,memory_recursiveprot\n");
  assert (hierarchies.count == 1);
  is (0, "/sys/fs/cgroup", "", true);

  /* v1 with two controllers in one hierarchy, a named one, and v2 beside them without controllers. */
  parse ("31 30 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
         "32 30 0:28 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,name=systemd\n"
         "33 30 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
         "34 30 0:30 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset,clone_children\n");
  assert (hierarchies.count == 4);
  is (0, "/sys/fs/cgroup/unified", "", true);
  is (1, "/sys/fs/cgroup/systemd", "none,name=systemd", false);
  is (2, "/sys/fs/cgroup/cpu,cpuacct", "cpu,cpuacct", false);
  is (3, "/sys/fs/cgroup/cpuset", "cpuset", false);

  /* Mounted twice, as below a chroot, it is one; without optional fields in the line it is read as well. */
  parse ("40 30 0:31 / /sys/fs/cgroup/pids rw - cgroup cgroup rw,pids\n"
         "41 30 0:31 /sub /srv/chroot/sys/fs/cgroup/pids rw master:3 shared:9 - cgroup cgroup rw,pids\n");
  assert (hierarchies.count == 1);
  is (0, "/sys/fs/cgroup/pids", "pids", false);

  /* Broken lines are no hierarchies. */
  parse ("\n - cgroup\n40 30 0:31 / /x rw cgroup cgroup rw\n40 30\n - - -\n");
  assert (hierarchies.count == 0);

  /* More than there is room for: the rest is left out. */
  char many[8192] = "";
  for (int i = 0; i < 40; i++)
    snprintf (many + strlen (many), sizeof many - strlen (many),
              "1 1 0:%d / /c%d rw - cgroup cgroup rw,name=n%d\n", i, i, i);
  hierarchies_parse (many, &hierarchies);
  assert (hierarchies.count == MAX_HIERARCHIES);
  puts ("ok");
  return 0;
}

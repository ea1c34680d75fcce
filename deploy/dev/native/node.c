#include "node.h"

#include "link.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

const int node_namespaces
    = CLONE_NEWNET | CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID | CLONE_NEWCGROUP;

int
node_detach_mounts (struct failure *failure)
{
  /* Slave, not private: a disk that the machine unmounts is let go here too. */
  if (mount (NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
    return fail (failure, errno, "detach the mounts from the machine's");
  /* Shared among the node's own, as systemd has it: what mountPropagation rests on. */
  if (mount (NULL, "/", NULL, MS_REC | MS_SHARED, NULL) < 0)
    return fail (failure, errno, "share mounts within the node");
  return 0;
}

static int
mount_fresh (const char *type, const char *target, const char *data, struct failure *failure)
{
  if (mount (type, target, type, MS_NOSUID | MS_NODEV | MS_NOEXEC, data) < 0)
    return fail (failure, errno, "mount %s at %s", type, target);
  return 0;
}

static int
mount_folder (const struct node_mount *item, struct failure *failure)
{
  if (mkdir (item->target, 0755) < 0 && errno != EEXIST)
    return fail (failure, errno, "make folder %s", item->target);
  if (item->source != NULL)
    {
      if (mount (item->source, item->target, NULL, MS_BIND, NULL) < 0)
        return fail (failure, errno, "bind %s at %s", item->source, item->target);
      /* Else what is mounted below would appear below the source as well. */
      if (mount (NULL, item->target, NULL, MS_PRIVATE, NULL) < 0
          || mount (NULL, item->target, NULL, MS_SHARED, NULL) < 0)
        return fail (failure, errno, "set %s apart from %s", item->target, item->source);
      return 0;
    }
  /* Sockets, namespace handles and secrets; programs and devices too, when a pod's volume needs them. */
  if (mount ("tmpfs", item->target, "tmpfs", MS_NOSUID, "mode=755") < 0)
    return fail (failure, errno, "mount tmpfs at %s", item->target);
  return 0;
}

static int
mount_ipc (struct failure *failure)
{
  struct stat info;

  if (stat ("/dev/shm", &info) == 0
      && mount ("tmpfs", "/dev/shm", "tmpfs", MS_NOSUID | MS_NODEV, "mode=1777") < 0)
    return fail (failure, errno, "mount tmpfs at /dev/shm");
  if (stat ("/dev/mqueue", &info) == 0 && mount_fresh ("mqueue", "/dev/mqueue", NULL, failure) < 0)
    return -1;
  return 0;
}

int
node_enter (const struct options *options, const struct hierarchies *hierarchies, struct failure *failure)
{
  if (sethostname (options->name, strlen (options->name)) < 0)
    return fail (failure, errno, "set host name \"%s\"", options->name);
  for (int i = 0; i < options->mount_count; i++)
    if (mount_folder (&options->mounts[i], failure) < 0)
      return -1;
  if (mount_fresh ("proc", "/proc", NULL, failure) < 0 || mount_fresh ("sysfs", "/sys", NULL, failure) < 0
      || mount_ipc (failure) < 0 || cgroup_mount (hierarchies, failure) < 0)
    return -1;
  return link_up_loopback (failure);
}

#include "options.h"

#include <getopt.h>
#include <stdlib.h>
#include <string.h>

const char options_usage[]
    = "usage: tessera-host node|service OPTION... -- COMMAND [ARGUMENT...]\n"
      "\n"
      "Starts COMMAND in the background, restarts it whenever it ends, and ends it and all its children on "
      "TERM.\n"
      "`node` gives it network, mount, UTS, IPC, PID and cgroup namespaces of its own, as a machine of its "
      "own;\n"
      "`service` leaves it in those of this machine. Returns once the namespaces are set up.\n"
      "\n"
      "  --name NAME            host name of the node\n"
      "  --cgroup PATH          cgroup, below the root of every hierarchy (required)\n"
      "  --state FILE           gets pid and start time, and those of the command (required)\n"
      "  --log FILE             gets the command's output (required)\n"
      "  --bind SOURCE:TARGET   show a folder of this machine at TARGET (node; repeatable)\n"
      "  --tmpfs TARGET         mount an empty tmpfs at TARGET (node; repeatable)\n"
      "  --await-address LINK   start COMMAND once LINK has an IPv4 address (node)\n"
      "  --grace MS             time between TERM and KILL (default 5000)\n";

static int
add_mount (struct options *options, char *value, bool bind, struct failure *failure)
{
  if (options->mount_count == MAX_MOUNTS)
    return fail (failure, 0, "more than %d mounts", MAX_MOUNTS);
  struct node_mount *mount = &options->mounts[options->mount_count++];
  mount->source = NULL;
  mount->target = value;
  if (bind)
    {
      char *colon = strchr (value, ':');
      if (colon == NULL)
        return fail (failure, 0, "--bind \"%s\" is not SOURCE:TARGET", value);
      *colon = '\0';
      mount->source = value;
      mount->target = colon + 1;
    }
  if (mount->target[0] != '/')
    return fail (failure, 0, "mount target \"%s\" is not an absolute path", mount->target);
  return 0;
}

static int
parse_grace (const char *value, int *grace_ms, struct failure *failure)
{
  char *end;
  long parsed = strtol (value, &end, 10);
  if (*value == '\0' || *end != '\0' || parsed < 0 || parsed > 600000)
    return fail (failure, 0, "--grace \"%s\" is not a number of milliseconds up to 600000", value);
  *grace_ms = (int)parsed;
  return 0;
}

/* A cgroup path goes below the root of each hierarchy and nowhere else. */
static bool
is_plain_path (const char *path)
{
  return path[0] != '\0' && path[0] != '/' && path[0] != '.' && strstr (path, "/.") == NULL
         && strstr (path, "//") == NULL && strlen (path) < 200;
}

static int
check (const struct options *options, struct failure *failure)
{
  if (options->cgroup == NULL || !is_plain_path (options->cgroup))
    return fail (failure, 0, "--cgroup must be a relative path without \"..\"");
  if (options->state_path == NULL || options->log_path == NULL)
    return fail (failure, 0, "--state and --log are required");
  if (options->is_node && (options->name == NULL || options->name[0] == '\0' || strlen (options->name) > 63))
    return fail (failure, 0, "--name must be a host name of 1 to 63 characters");
  if (!options->is_node && (options->mount_count > 0 || options->await_address != NULL))
    return fail (failure, 0, "--bind, --tmpfs and --await-address are for nodes");
  if (options->command[0] == NULL)
    return fail (failure, 0, "no command given");
  return 0;
}

int
options_parse (int argc, char **argv, struct options *options, struct failure *failure)
{
  static const struct option table[] = { { "name", required_argument, NULL, 'n' },
                                         { "cgroup", required_argument, NULL, 'c' },
                                         { "state", required_argument, NULL, 's' },
                                         { "log", required_argument, NULL, 'l' },
                                         { "bind", required_argument, NULL, 'b' },
                                         { "tmpfs", required_argument, NULL, 't' },
                                         { "grace", required_argument, NULL, 'g' },
                                         { "await-address", required_argument, NULL, 'a' },
                                         { NULL, 0, NULL, 0 } };

  *options = (struct options){ .grace_ms = 5000 };
  if (argc < 2 || (strcmp (argv[1], "node") != 0 && strcmp (argv[1], "service") != 0))
    return fail (failure, 0, "the first word must be \"node\" or \"service\"");
  options->is_node = strcmp (argv[1], "node") == 0;
  optind = 2;
  for (int letter; (letter = getopt_long (argc, argv, "+", table, NULL)) != -1;)
    {
      int result = 0;
      switch (letter)
        {
        case 'n':
          options->name = optarg;
          break;
        case 'c':
          options->cgroup = optarg;
          break;
        case 's':
          options->state_path = optarg;
          break;
        case 'l':
          options->log_path = optarg;
          break;
        case 'a':
          options->await_address = optarg;
          break;
        case 'b':
        case 't':
          result = add_mount (options, optarg, letter == 'b', failure);
          break;
        case 'g':
          result = parse_grace (optarg, &options->grace_ms, failure);
          break;
        default:
          return fail (failure, 0, "see the usage: tessera-host --help");
        }
      if (result < 0)
        return result;
    }
  options->command = argv + optind;
  return check (options, failure);
}

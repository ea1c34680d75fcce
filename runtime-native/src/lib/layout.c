/* The structs of the interface as this compiler laid them out; the binding's test compares its own account.
 */
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>

#include "lib/tessera.h"

#define STRUCT(name)                    \
  {                                     \
#name, NULL, 0, sizeof(struct name) \
  }
#define FIELD(name, field)                                                             \
  {                                                                                    \
#name, #field, offsetof(struct name, field), sizeof(((struct name *) NULL)->field) \
  }

static const struct
{
  const char *name;
  const char *field;
  size_t offset;
  size_t size;
} entries[] = {
  STRUCT (ts_result),
  FIELD (ts_result, error),
  FIELD (ts_result, step),
  FIELD (ts_result, message),
  STRUCT (ts_spawn_spec),
  FIELD (ts_spawn_spec, argv),
  FIELD (ts_spawn_spec, env),
  FIELD (ts_spawn_spec, netns),
  FIELD (ts_spawn_spec, folder),
  FIELD (ts_spawn_spec, record),
  FIELD (ts_spawn_spec, log_path),
  FIELD (ts_spawn_spec, cgroups),
  FIELD (ts_spawn_spec, cgroup),
  FIELD (ts_spawn_spec, limits),
  FIELD (ts_spawn_spec, program),
  FIELD (ts_spawn_spec, reserved),
  STRUCT (ts_spawned),
  FIELD (ts_spawned, start_time),
  FIELD (ts_spawned, pid),
  FIELD (ts_spawned, connection),
  FIELD (ts_spawned, ready),
  FIELD (ts_spawned, reserved),
  STRUCT (ts_cgroup_limits),
  FIELD (ts_cgroup_limits, cpu_shares),
  FIELD (ts_cgroup_limits, cpu_quota_us),
  FIELD (ts_cgroup_limits, cpu_period_us),
  FIELD (ts_cgroup_limits, memory_bytes),
  FIELD (ts_cgroup_limits, swap_bytes),
  FIELD (ts_cgroup_limits, pids),
  FIELD (ts_cgroup_limits, cpuset_cpus),
  FIELD (ts_cgroup_limits, cpuset_mems),
  FIELD (ts_cgroup_limits, io),
  FIELD (ts_cgroup_limits, hugepages),
  FIELD (ts_cgroup_limits, io_count),
  FIELD (ts_cgroup_limits, hugepage_count),
  FIELD (ts_cgroup_limits, io_weight),
  FIELD (ts_cgroup_limits, default_devices),
  STRUCT (ts_io_limit),
  FIELD (ts_io_limit, read_bps),
  FIELD (ts_io_limit, write_bps),
  FIELD (ts_io_limit, read_iops),
  FIELD (ts_io_limit, write_iops),
  FIELD (ts_io_limit, major),
  FIELD (ts_io_limit, minor),
  STRUCT (ts_hugepage_limit),
  FIELD (ts_hugepage_limit, page_bytes),
  FIELD (ts_hugepage_limit, limit_bytes),
  STRUCT (ts_cgroup_usage),
  FIELD (ts_cgroup_usage, cpu_ns),
  FIELD (ts_cgroup_usage, memory_bytes),
  FIELD (ts_cgroup_usage, memory_working_set_bytes),
  FIELD (ts_cgroup_usage, pids),
  FIELD (ts_cgroup_usage, oom_kills),
  STRUCT (ts_cgroup_sample),
  FIELD (ts_cgroup_sample, time_ns),
  FIELD (ts_cgroup_sample, cpu_ns),
  FIELD (ts_cgroup_sample, memory_working_set_bytes),
  STRUCT (ts_seccomp_condition),
  FIELD (ts_seccomp_condition, value),
  FIELD (ts_seccomp_condition, value_two),
  FIELD (ts_seccomp_condition, argument),
  FIELD (ts_seccomp_condition, comparison),
  STRUCT (ts_seccomp_rule),
  FIELD (ts_seccomp_rule, name),
  FIELD (ts_seccomp_rule, action),
  FIELD (ts_seccomp_rule, condition_count),
  STRUCT (ts_seccomp_profile),
  FIELD (ts_seccomp_profile, architectures),
  FIELD (ts_seccomp_profile, default_action),
  FIELD (ts_seccomp_profile, rule_count),
  STRUCT (ts_layer_entry),
  FIELD (ts_layer_entry, root),
  FIELD (ts_layer_entry, path),
  FIELD (ts_layer_entry, target),
  FIELD (ts_layer_entry, xattrs),
  FIELD (ts_layer_entry, mtime_seconds),
  FIELD (ts_layer_entry, mtime_nanoseconds),
  FIELD (ts_layer_entry, xattrs_size),
  FIELD (ts_layer_entry, type),
  FIELD (ts_layer_entry, mode),
  FIELD (ts_layer_entry, uid),
  FIELD (ts_layer_entry, gid),
  FIELD (ts_layer_entry, major),
  FIELD (ts_layer_entry, minor),
  STRUCT (ts_node_network),
  FIELD (ts_node_network, bridge),
  FIELD (ts_node_network, bridge_address),
  FIELD (ts_node_network, vxlan),
  FIELD (ts_node_network, node_address),
  FIELD (ts_node_network, node_device),
  FIELD (ts_node_network, prefix),
  FIELD (ts_node_network, vxlan_id),
  FIELD (ts_node_network, vxlan_port),
  STRUCT (ts_peer),
  FIELD (ts_peer, network),
  FIELD (ts_peer, prefix),
  FIELD (ts_peer, node_address),
  STRUCT (ts_netns_assignment),
  FIELD (ts_netns_assignment, link),
  FIELD (ts_netns_assignment, id),
  FIELD (ts_netns_assignment, address),
  FIELD (ts_netns_assignment, gateway),
  FIELD (ts_netns_assignment, control),
  FIELD (ts_netns_assignment, has_host_ports),
  STRUCT (ts_host_port),
  FIELD (ts_host_port, address),
  FIELD (ts_host_port, protocol),
  FIELD (ts_host_port, port),
};

static char text[8192];
static pthread_once_t written = PTHREAD_ONCE_INIT;

static void
write_text (void)
{
  size_t used = 0;

  for (size_t i = 0; i < sizeof entries / sizeof *entries && used < sizeof text; i++)
    if (entries[i].field)
      used += (size_t) snprintf (text + used, sizeof text - used, "%s.%s %zu %zu\n", entries[i].name, entries[i].field,
                                 entries[i].offset, entries[i].size);
    else
      used += (size_t) snprintf (text + used, sizeof text - used, "%s %zu\n", entries[i].name, entries[i].size);
}

const char *
ts_layout (void)
{
  pthread_once (&written, write_text);
  return text;
}

import type { Pod } from "@tessera/proto";

/** Settings that live in the pod's own namespaces and cannot harm its neighbours: Kubernetes' "safe" set. */
const SAFE = new Set([
  "kernel.shm_rmid_forced",
  "net.ipv4.ip_local_port_range",
  "net.ipv4.ip_local_reserved_ports",
  "net.ipv4.ip_unprivileged_port_start",
  "net.ipv4.ping_group_range",
  "net.ipv4.tcp_fin_timeout",
  "net.ipv4.tcp_keepalive_intvl",
  "net.ipv4.tcp_keepalive_probes",
  "net.ipv4.tcp_keepalive_time",
  "net.ipv4.tcp_rmem",
  "net.ipv4.tcp_syncookies",
  "net.ipv4.tcp_wmem",
]);

/** Whose settings are kept apart by a namespace, and which. */
const NAMESPACES = [
  { of: "network", starts: ["net."] },
  { of: "IPC", starts: ["kernel.shm", "kernel.msg", "fs.mqueue."], names: ["kernel.sem"] },
] as const;

/** With dots, as the kernel's documentation names them; people may use slashes. */
function settingsOf(pod: Pod): { readonly given: string; readonly name: string; readonly value: string }[] {
  const sysctls = pod.spec?.securityContext?.sysctls ?? [];
  return sysctls.map(({ name = "", value = "" }) => ({ given: name, name: name.replaceAll("/", "."), value }));
}

/** The pod's kernel settings, which `sysctlRefusal` found nothing against. */
export function podSysctls(pod: Pod): Record<string, string> {
  return Object.fromEntries(settingsOf(pod).map(({ name, value }) => [name, value]));
}

/**
 * Why the pod may not have its kernel settings on this node; undefined when it may. `allowedUnsafe` are names, or beginnings of names with a "*",
 * of those that the node's owner trusts pods with although they may take kernel memory that nobody counts.
 */
export function sysctlRefusal(pod: Pod, allowedUnsafe: readonly string[]): string | undefined {
  for (const { given, name, value } of settingsOf(pod)) {
    const namespace = NAMESPACES.find(
      (one) => one.starts.some((start) => name.startsWith(start)) || ("names" in one && one.names.some((exact) => exact === name)),
    );
    if (namespace === undefined) return `sysctl "${given}" belongs to the whole node, not to a namespace of the pod`;
    const isShared = namespace.of === "network" ? pod.spec?.hostNetwork : pod.spec?.hostIPC;
    if (isShared) return `sysctl "${given}" would change the node: the pod shares the node's ${namespace.of} namespace`;
    if (!SAFE.has(name) && !allowedUnsafe.some((pattern) => matches(name, pattern)))
      return `sysctl "${given}" is not one of the safe ones, and this node's agent does not allow it (--allowed-unsafe-sysctl)`;
    if (!/^[0-9 \t-]+$/.test(value)) return `sysctl "${given}": value "${value}" is not a list of numbers`;
  }
  return undefined;
}

function matches(name: string, pattern: string): boolean {
  return pattern.endsWith("*") ? name.startsWith(pattern.slice(0, -1)) : name === pattern;
}

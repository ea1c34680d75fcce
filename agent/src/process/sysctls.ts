import { type Pod, TesseraError } from "@tessera/proto";

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

/** The pod's kernel settings. Throws TesseraError "Forbidden" for one that is not safe. */
export function podSysctls(pod: Pod): Record<string, string> {
  const settings: Record<string, string> = {};
  for (const { name = "", value = "" } of pod.spec?.securityContext?.sysctls ?? []) {
    const dotted = name.replaceAll("/", ".");
    if (!SAFE.has(dotted)) throw new TesseraError("Forbidden", `sysctl "${name}" is not one that a pod may set`);
    if (!/^[0-9 \t]+$/.test(value)) throw new TesseraError("Invalid", `sysctl "${name}": value "${value}" is not a list of numbers`);
    const ofNode = pod.spec?.hostNetwork ? "net." : pod.spec?.hostIPC ? "kernel." : undefined;
    if (ofNode !== undefined && dotted.startsWith(ofNode)) {
      throw new TesseraError("Invalid", `sysctl "${name}" would change the node: the pod has no namespace of its own for it`);
    }
    settings[dotted] = value;
  }
  return settings;
}

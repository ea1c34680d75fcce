import type { Pod } from "@tessera/proto";

/**
 * What a pod wishes that nothing acts on yet. Such a pod is not refused, since it runs all the same; but whoever made it is told, as a wish that is
 * silently not granted is found out late.
 */
export function unheededWishes({ spec = {} }: Pod): string[] {
  const { affinity, topologySpreadConstraints = [], runtimeClassName, hostNetwork, containers = [], initContainers = [] } = spec;
  const wishes: string[] = [];
  for (const field of ["podAffinity", "podAntiAffinity"] as const)
    if (affinity?.[field] !== undefined) wishes.push(`spec.affinity.${field}: the scheduler does not look at other pods yet`);
  if (topologySpreadConstraints.length > 0) wishes.push("spec.topologySpreadConstraints: the scheduler does not spread pods by rules yet");
  if (runtimeClassName) wishes.push("spec.runtimeClassName: there is one runtime yet, which is used for all pods");
  if (hostNetwork) return wishes;
  for (const [list, members] of Object.entries({ containers, initContainers })) {
    for (const [at, { ports = [] }] of members.entries()) {
      for (const [port, { hostPort }] of ports.entries()) {
        const path = `spec.${list}[${at}].ports[${port}].hostPort`;
        if (hostPort)
          wishes.push(`${path}: the scheduler keeps ${hostPort} of the node for this pod, but nothing leads from there to the pod yet`);
      }
    }
  }
  return wishes;
}

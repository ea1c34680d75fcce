import type { Pod } from "@tessera/proto";

/** Of Kubernetes' system-cluster-critical; system-node-critical is above it. Pods from here on are needed by the cluster itself. */
export const CRITICAL_PRIORITY = 2_000_000_000;

/** Whether the cluster itself needs the pod: it comes even to a node that is short of something, and stays there. */
export function isCritical(pod: Pod): boolean {
  return (pod.spec?.priority ?? 0) >= CRITICAL_PRIORITY;
}

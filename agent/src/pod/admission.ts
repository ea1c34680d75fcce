import type { Pod } from "@tessera/proto";
import type { NodeFacts } from "../node-facts.ts";
import { sysctlRefusal } from "../process/sysctls.ts";
import { PodReason } from "./reasons.ts";
import type { PodEnd } from "./record.ts";

/** Why this node will never run the pod, whatever it waits for; undefined when it may. As in Kubernetes such a pod has failed. */
export function admissionRefusal(pod: Pod, node: Pick<NodeFacts, "allowedUnsafeSysctls">): PodEnd | undefined {
  const message = sysctlRefusal(pod, node.allowedUnsafeSysctls);
  return message === undefined ? undefined : { reason: PodReason.sysctlForbidden, message };
}

import type { Pod, PodSpec, PodStatus } from "@tessera/proto";
import { type Fault, forbidden } from "../../faults.ts";

/** What a new pod's status says of the gates that keep the scheduler from it. The scheduler says the next word when they are gone. */
export function gatedConditions({ metadata, spec }: Pod): Pick<PodStatus, "conditions"> {
  if ((spec?.schedulingGates ?? []).length === 0) return {};
  const gated = {
    type: "PodScheduled",
    status: "False",
    reason: "SchedulingGated",
    message: "Scheduling is blocked due to non-empty scheduling gates",
    lastTransitionTime: metadata?.creationTimestamp,
  };
  return { conditions: [gated] };
}

/** Gates can be removed, in any order, and never be added: the scheduler may have looked at the pod already. */
export function validateGates(next: PodSpec, current: PodSpec): Fault[] {
  const before = new Set((current.schedulingGates ?? []).map(({ name }) => name));
  const added = (next.schedulingGates ?? []).filter(({ name }) => !before.has(name));
  return added.map(({ name }) => forbidden("spec.schedulingGates", `only deletion is allowed, but found new scheduling gate '${name}'`));
}

import { isDeepStrictEqual } from "node:util";
import type { Pod, PodCondition, PodStatus } from "@tessera/proto";

/**
 * Conditions that the agent decides on: those that it does not report are no longer there. All others are somebody else's and stay, but for a
 * DisruptionTarget that the agent adds when its node cannot keep a pod.
 */
const AGENT_CONDITIONS: ReadonlySet<string> = new Set(["PodReadyToStartContainers", "Initialized", "Ready", "ContainersReady"]);

/** Conditions that the agent may not touch. */
const CONTROL_PLANE_CONDITIONS: ReadonlySet<string> = new Set(["PodScheduled"]);

/** The pod with the status that its agent reports; the same pod when that says nothing new. */
export function withReportedStatus(pod: Pod, reported: PodStatus): Pod {
  const current = pod.status ?? {};
  // A pod that ended stays ended, however late a report comes.
  if (hasEnded(current.phase) && reported.phase !== current.phase) return pod;
  const status: PodStatus = {
    ...reported,
    nominatedNodeName: current.nominatedNodeName,
    qosClass: current.qosClass ?? reported.qosClass,
    conditions: mergeConditions(scheduledConditions(pod), reported.conditions ?? []),
  };
  return isDeepStrictEqual(compact(status), compact(current)) ? pod : { ...pod, status: compact(status) };
}

/** The pod as nobody should send requests to: its node is not heard of. */
export function withUnreachableNode(pod: Pod, message: string, nowTime: string): Pod {
  const conditions = pod.status?.conditions ?? [];
  if (hasEnded(pod.status?.phase) || !conditions.some((c) => c.type === "Ready" && c.status === "True")) return pod;
  const next = conditions.map((c): PodCondition => {
    if (c.type !== "Ready") return c;
    return { type: "Ready", status: "False", reason: "NodeNotReady", message, lastTransitionTime: nowTime };
  });
  return { ...pod, status: { ...pod.status, conditions: next } };
}

export function hasEnded(phase: string | undefined): boolean {
  return phase === "Succeeded" || phase === "Failed";
}

/** The pod's conditions. One that was created with its node never met the scheduler, but is scheduled none the less. */
function scheduledConditions(pod: Pod): readonly PodCondition[] {
  const conditions = pod.status?.conditions ?? [];
  if (conditions.some((c) => c.type === "PodScheduled")) return conditions;
  return [...conditions, { type: "PodScheduled", status: "True", lastTransitionTime: pod.metadata?.creationTimestamp }];
}

function mergeConditions(current: readonly PodCondition[], reported: readonly PodCondition[]): PodCondition[] {
  const own = reported.filter((c) => !CONTROL_PLANE_CONDITIONS.has(c.type ?? ""));
  const ownTypes = new Set(own.map((c) => c.type));
  const others = current.filter((c) => !ownTypes.has(c.type) && !AGENT_CONDITIONS.has(c.type ?? ""));
  return [...own, ...others];
}

/** Without fields that are undefined: JSON does not know them, comparison does. */
function compact(status: PodStatus): PodStatus {
  return Object.fromEntries(Object.entries(status).filter(([, value]) => value !== undefined));
}

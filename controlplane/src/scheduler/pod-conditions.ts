import type { Pod, PodCondition } from "@tessera/proto";
import { toTime } from "../controllers/clock.ts";

/** The pod with this condition set; the same pod when it says so already. lastTransitionTime moves only with the status. */
export function withPodCondition(
  pod: Pod,
  condition: { type: string; status: "True" | "False"; reason?: string; message?: string },
  nowMs: number,
): Pod {
  const conditions = pod.status?.conditions ?? [];
  const old = conditions.find((c) => c.type === condition.type);
  if (old && old.status === condition.status && old.reason === condition.reason && old.message === condition.message) return pod;
  const lastTransitionTime = old && old.status === condition.status ? old.lastTransitionTime : toTime(nowMs);
  const fresh: PodCondition = { ...condition, lastTransitionTime };
  const next = old ? conditions.map((c) => (c === old ? fresh : c)) : [...conditions, fresh];
  return { ...pod, status: { ...pod.status, conditions: next } };
}

import type { Condition, Pod, PodDisruptionBudget, PodDisruptionBudgetStatus } from "@tessera/proto";
import { LabelSelector } from "./label-selector.ts";
import { formatTime } from "./object-meta.ts";

/** How long an eviction that was let through counts although nothing was seen of it: it may have failed after that. */
export const disruptionTimeoutMs = 120_000;

/** The pod with the word on what ends it, which is no fault of its own (KEP-3329). */
export function withDisruptionTarget(pod: Pod, reason: string, message: string, time: string): Pod {
  const type = "DisruptionTarget";
  const others = (pod.status?.conditions ?? []).filter((condition) => condition.type !== type);
  const condition = { type, status: "True", reason, message, lastTransitionTime: time };
  return { ...pod, status: { ...pod.status, conditions: [...others, condition] } };
}

/** Whether the budget is about the pod. */
export function isBudgetOf(budget: PodDisruptionBudget, pod: Pod): boolean {
  const { selector } = budget.spec ?? {};
  return selector !== undefined && LabelSelector.of(selector).matches(pod.metadata?.labels);
}

export function isReady({ status }: Pod): boolean {
  return status?.conditions?.some(({ type, status: is }) => type === "Ready" && is === "True") ?? false;
}

/**
 * The budget's status over the pods that it is about. Only minAvailable as a number counts pods without a controller: what maxUnavailable and
 * percentages are measured by is the number that controllers want, and nobody wants those.
 */
export function budgetStatus(budget: PodDisruptionBudget, pods: readonly Pod[], nowMs: number): PodDisruptionBudgetStatus {
  const { spec = {}, status = {}, metadata = {} } = budget;
  const { disruptedPods: _, ...rest } = status;
  const disruptedPods = pendingDisruptions(status, pods, nowMs);
  const currentHealthy = pods.filter((pod) => isCounted(pod, disruptedPods) && isReady(pod)).length;
  const counts = typeof spec.minAvailable === "number";
  const desiredHealthy = counts ? Number(spec.minAvailable) : 0;
  const expectedPods = counts ? pods.length : 0;
  const disruptionsAllowed = expectedPods > 0 ? Math.max(0, currentHealthy - desiredHealthy) : 0;
  return {
    ...rest,
    currentHealthy,
    desiredHealthy,
    expectedPods,
    disruptionsAllowed,
    ...(metadata.generation === undefined ? {} : { observedGeneration: metadata.generation }),
    ...(Object.keys(disruptedPods).length > 0 ? { disruptedPods } : {}),
    conditions: withAllowed(status.conditions ?? [], disruptionsAllowed > 0, metadata.generation, nowMs),
  };
}

/** One eviction less, of this pod. */
export function withDisruption(budget: PodDisruptionBudget, podName: string, nowMs: number): PodDisruptionBudget {
  const { status = {}, metadata = {} } = budget;
  const disruptionsAllowed = (status.disruptionsAllowed ?? 0) - 1;
  const disruptedPods = { ...status.disruptedPods, [podName]: formatTime(nowMs) };
  const conditions = withAllowed(status.conditions ?? [], disruptionsAllowed > 0, metadata.generation, nowMs);
  return { ...budget, status: { ...status, disruptionsAllowed, disruptedPods, conditions } };
}

/** Evictions of pods that are still there as if nothing had happened. */
function pendingDisruptions(
  { disruptedPods = {} }: PodDisruptionBudgetStatus,
  pods: readonly Pod[],
  nowMs: number,
): { [name: string]: string } {
  const waiting = new Set(pods.filter((pod) => pod.metadata?.deletionTimestamp === undefined).map((pod) => pod.metadata?.name));
  return Object.fromEntries(
    Object.entries(disruptedPods).filter(([name, time]) => waiting.has(name) && Date.parse(time) + disruptionTimeoutMs > nowMs),
  );
}

function isCounted({ metadata }: Pod, disruptedPods: { readonly [name: string]: string }): boolean {
  return metadata?.deletionTimestamp === undefined && disruptedPods[metadata?.name ?? ""] === undefined;
}

function withAllowed(
  conditions: readonly Condition[],
  isAllowed: boolean,
  observedGeneration: number | undefined,
  nowMs: number,
): Condition[] {
  const type = "DisruptionAllowed";
  const status = isAllowed ? "True" : "False";
  const before = conditions.find((condition) => condition.type === type);
  const lastTransitionTime = before?.status === status ? before.lastTransitionTime : formatTime(nowMs);
  const reason = isAllowed ? "SufficientPods" : "InsufficientPods";
  const own = {
    type,
    status,
    reason,
    message: "",
    lastTransitionTime,
    ...(observedGeneration === undefined ? {} : { observedGeneration }),
  };
  return [...conditions.filter((condition) => condition.type !== type), own];
}

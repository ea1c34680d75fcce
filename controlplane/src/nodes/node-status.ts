import { isDeepStrictEqual } from "node:util";
import type { Node, NodeCondition, NodeStatus, Taint } from "@tessera/proto";
import { toTime } from "../controllers/clock.ts";

/**
 * What becomes of a Node object when its agent speaks or falls silent. Pure: every function returns the new object, or the same one when nothing
 * worth a write changed.
 */

const UNREACHABLE = "node.kubernetes.io/unreachable";
const NOT_READY = "node.kubernetes.io/not-ready";
/** What keeps further pods away while a condition is True. */
const PRESSURE_TAINTS: ReadonlyMap<string, string> = new Map([
  ["MemoryPressure", "node.kubernetes.io/memory-pressure"],
  ["DiskPressure", "node.kubernetes.io/disk-pressure"],
  ["PIDPressure", "node.kubernetes.io/pid-pressure"],
]);

/** lastHeartbeatTime alone is worth a write only so often; that the node lives is seen by its Lease. */
const HEARTBEAT_MS = 5 * 60_000;

export interface Registration {
  readonly name: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly status: NodeStatus;
  readonly podCidr: string;
}

/** The Node of an agent that says Hello. Labels are merged, for people add theirs; the addresses of its pods are given once. */
export function withRegistration(node: Node | undefined, hello: Registration, nowMs: number): Node {
  const base: Node = node ?? { apiVersion: "v1", kind: "Node", metadata: { name: hello.name }, spec: {} };
  const spec = base.spec?.podCIDR ? base.spec : { ...base.spec, podCIDR: hello.podCidr, podCIDRs: [hello.podCidr] };
  const metadata = { ...base.metadata, labels: { ...base.metadata?.labels, ...hello.labels } };
  const registered = withReport({ ...base, metadata, spec }, hello.status, nowMs);
  return node && isDeepStrictEqual(registered, node) ? node : registered;
}

/** The Node with what its agent reports. Extended resources ("example.com/gpu") that somebody else has written into it stay. */
export function withReport(node: Node, reported: NodeStatus, nowMs: number): Node {
  const now = toTime(nowMs);
  const current = node.status?.conditions ?? [];
  const conditions = withReadyCondition(reported.conditions ?? []).map((condition) => {
    const before = current.find((c) => c.type === condition.type);
    const isSame = before?.status === condition.status;
    const lastTransitionTime = (isSame ? before?.lastTransitionTime : condition.lastTransitionTime) ?? now;
    return { ...condition, lastHeartbeatTime: now, lastTransitionTime };
  });
  const reportedTypes = new Set(conditions.map((c) => c.type));
  const others = current.filter((c) => !reportedTypes.has(c.type));
  const status: NodeStatus = { ...reported, conditions: [...conditions, ...others] };
  for (const field of ["capacity", "allocatable"] as const) {
    const extended = Object.entries(node.status?.[field] ?? {}).filter(([resource]) => resource.includes("/"));
    if (extended.length > 0) status[field] = { ...Object.fromEntries(extended), ...reported[field] };
  }
  const next = withConditionTaints({ ...node, status }, nowMs);
  return isNews(node, next, nowMs) ? next : node;
}

/** The Node whose agent has not been heard of since `sinceMs`. */
export function withSilentAgent(node: Node, sinceMs: number, nowMs: number): Node {
  const now = toTime(nowMs);
  const message = `The agent has had no session since ${toTime(sinceMs)}.`;
  const current = node.status?.conditions ?? [];
  const known = current.some((c) => c.type === "Ready") ? current : [...current, { type: "Ready" }];
  const conditions = known.map((condition): NodeCondition => {
    if (condition.status === "Unknown") return condition;
    return { ...condition, status: "Unknown", reason: "NodeStatusUnknown", message, lastTransitionTime: now };
  });
  const next = withConditionTaints({ ...node, status: { ...node.status, conditions } }, nowMs);
  return isDeepStrictEqual(next, node) ? node : next;
}

export function readyStatus(node: Node): string | undefined {
  return node.status?.conditions?.find((c) => c.type === "Ready")?.status;
}

/** An agent that says nothing of its readiness is ready: it has a session. */
function withReadyCondition(conditions: readonly NodeCondition[]): readonly NodeCondition[] {
  if (conditions.some((c) => c.type === "Ready")) return conditions;
  return [...conditions, { type: "Ready", status: "True", reason: "AgentReady", message: "The agent has a session and takes pods." }];
}

/** Keeps new pods away from nodes that are not ready or short of something, and sends those away that do not tolerate it for longer. */
function withConditionTaints(node: Node, nowMs: number): Node {
  const ready = readyStatus(node);
  const wanted = ready === "Unknown" ? UNREACHABLE : ready === "False" ? NOT_READY : undefined;
  const taints = node.spec?.taints ?? [];
  const conditions = node.status?.conditions ?? [];
  const pressure = [...PRESSURE_TAINTS].flatMap(([type, key]): Taint[] =>
    conditions.some((c) => c.type === type && c.status === "True") ? [{ key, effect: "NoSchedule" }] : [],
  );
  const ownKeys = new Set([UNREACHABLE, NOT_READY, ...PRESSURE_TAINTS.values()]);
  const others = taints.filter((taint) => !ownKeys.has(taint.key ?? ""));
  const kept = taints.filter((taint) => taint.key === wanted);
  const own: Taint[] = wanted === undefined ? [] : kept.length === 2 ? kept : readinessTaints(wanted, nowMs);
  const next = [...others, ...own, ...pressure];
  if (isDeepStrictEqual(next, taints)) return node;
  const { taints: _, ...spec } = node.spec ?? {};
  return { ...node, spec: next.length > 0 ? { ...spec, taints: next } : spec };
}

function readinessTaints(key: string, nowMs: number): Taint[] {
  return [
    { key, effect: "NoSchedule" },
    { key, effect: "NoExecute", timeAdded: toTime(nowMs) },
  ];
}

function isNews(node: Node, next: Node, nowMs: number): boolean {
  const heartbeat = Date.parse(node.status?.conditions?.find((c) => c.type === "Ready")?.lastHeartbeatTime ?? "");
  if (!(nowMs - heartbeat < HEARTBEAT_MS)) return true;
  return !isDeepStrictEqual(withoutHeartbeats(node), withoutHeartbeats(next));
}

function withoutHeartbeats(node: Node): Node {
  const conditions = node.status?.conditions?.map(({ lastHeartbeatTime: _, ...condition }) => condition);
  return { ...node, status: { ...node.status, conditions } };
}

const RESERVED = /(^|\.)(kubernetes|k8s)\.io\//;
const AGENTS_OWN =
  /^((kubernetes\.io\/(hostname|os|arch))|(beta\.kubernetes\.io\/(os|arch|instance-type))|(topology\.kubernetes\.io\/(zone|region))|((kubelet|node)\.kubernetes\.io\/.+))$/;

/** The labels that an agent may give its own Node: a taken-over node must not attract the pods of others by a label that people trust. */
export function allowedLabels(labels: Readonly<Record<string, string>>): { allowed: Record<string, string>; refused: string[] } {
  const allowed: Record<string, string> = {};
  const refused: string[] = [];
  for (const [key, value] of Object.entries(labels)) {
    if (RESERVED.test(key) && !AGENTS_OWN.test(key)) refused.push(key);
    else allowed[key] = value;
  }
  return { allowed, refused };
}

import {
  type Amounts,
  type HostPort,
  hostPortsCollide,
  matchesTerm,
  type Pod,
  type PodSpec,
  podHostPorts,
  podRequests,
  resourceAmount,
  type SelectableNode,
  type Taint,
  toleratesAny,
} from "@tessera/proto";
import { sysctlRefusal } from "../process/sysctls.ts";
import { isCritical } from "./priority.ts";
import { qosClass } from "./qos.ts";
import { PodReason } from "./reasons.ts";
import type { PodEnd } from "./record.ts";

/** What decides which pods a node takes in. */
export interface AdmittingNode {
  readonly allowedUnsafeSysctls: readonly string[];
  /** Quantities by resource. */
  readonly allocatable: Readonly<Record<string, string>>;
  /** Types of the conditions that are True and tell of a shortage: "DiskPressure". */
  readonly pressures: readonly string[];
  /** As the control plane has last told of them; undefined: it has not. */
  readonly object: (SelectableNode & { readonly taints: readonly Taint[] }) | undefined;
}

/** The part of its node that a pod holds. */
export interface Footprint {
  readonly requests: Amounts;
  readonly hostPorts: readonly HostPort[];
}

export function podFootprint({ spec = {} }: Pod): Footprint {
  return { requests: podRequests(spec), hostPorts: podHostPorts(spec) };
}

/**
 * Why this node will never run the pod, whatever it waits for; undefined when it may. As in Kubernetes such a pod has failed. The scheduler sends none
 * that would be refused, unless the node has changed meanwhile; but whoever writes `spec.nodeName` passes it by. Rules, their order and their words are
 * those of the kubelet.
 *
 * `present` is what the pods hold that are there.
 */
export function admissionRefusal(pod: Pod, node: AdmittingNode, present: readonly Footprint[]): PodEnd | undefined {
  const { spec = {} } = pod;
  const wanted = podFootprint(pod);
  return (
    pressureRefusal(pod, node.pressures) ??
    settingRefusal(pod, node) ??
    roomRefusal(wanted, node.allocatable, present) ??
    affinityRefusal(spec, node) ??
    portRefusal(wanted, present) ??
    taintRefusal(spec, node)
  );
}

/** What a pod that was turned away says in its status. */
export function toRejection({ reason, message }: PodEnd): PodEnd {
  return { reason, message: `Pod was rejected: ${message}` };
}

function pressureRefusal(pod: Pod, pressures: readonly string[]): PodEnd | undefined {
  if (pressures.length === 0 || isCritical(pod)) return undefined;
  const isOnlyMemory = pressures.every((type) => type === "MemoryPressure");
  if (isOnlyMemory && (qosClass(pod) !== "BestEffort" || toleratesAny(pod.spec?.tolerations ?? [], MEMORY_TAINT))) return undefined;
  return { reason: PodReason.evicted, message: `The node had condition: [${pressures.join(" ")}].` };
}

const MEMORY_TAINT: Taint = { key: "node.kubernetes.io/memory-pressure", effect: "NoSchedule" };

function settingRefusal(pod: Pod, { allowedUnsafeSysctls }: AdmittingNode): PodEnd | undefined {
  const message = sysctlRefusal(pod, allowedUnsafeSysctls);
  return message === undefined ? undefined : { reason: PodReason.sysctlForbidden, message };
}

/** The first resource of which too little is left. A resource with a name like "example.com/gpu" that the node does not have is not the node's to count. */
function roomRefusal(wanted: Footprint, allocatable: AdmittingNode["allocatable"], present: readonly Footprint[]): PodEnd | undefined {
  const counted = [...wanted.requests].filter(([name, amount]) => amount > 0 && (allocatable[name] !== undefined || !name.includes("/")));
  const claims = counted.map(([name, requested]) => ({ name, requested, used: sum(present.map((pod) => pod.requests.get(name) ?? 0)) }));
  for (const { name, requested, used } of [{ name: "pods", requested: 1, used: present.length }, ...claims]) {
    const capacity = resourceAmount(name, allocatable[name] ?? "0");
    if (used + requested <= capacity) continue;
    const message = `Node didn't have enough resource: ${name}, requested: ${requested}, used: ${used}, capacity: ${capacity}`;
    return { reason: `OutOf${name}`, message };
  }
  return undefined;
}

function affinityRefusal({ nodeSelector = {}, affinity }: PodSpec, { object: node }: AdmittingNode): PodEnd | undefined {
  if (node === undefined) return undefined;
  const required = affinity?.nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  const isSelected = Object.entries(nodeSelector).every(([key, value]) => node.labels[key] === value);
  if (isSelected && (required === undefined || (required.nodeSelectorTerms ?? []).some((term) => matchesTerm(term, node))))
    return undefined;
  return unmet("NodeAffinity", "node(s) didn't match Pod's node affinity/selector");
}

function portRefusal({ hostPorts }: Footprint, present: readonly Footprint[]): PodEnd | undefined {
  const held: ReadonlySet<HostPort> = new Set(present.flatMap((pod) => pod.hostPorts));
  return hostPortsCollide(hostPorts, held) ? unmet("NodePorts", "node(s) didn't have free ports for the requested pod ports") : undefined;
}

/** NoSchedule is the scheduler's alone to heed. */
function taintRefusal({ tolerations = [] }: PodSpec, { object: node }: AdmittingNode): PodEnd | undefined {
  const stands = (node?.taints ?? []).some((taint) => taint.effect === "NoExecute" && !toleratesAny(tolerations, taint));
  return stands ? unmet("TaintToleration", "node(s) had taints that the pod didn't tolerate") : undefined;
}

function unmet(rule: string, why: string): PodEnd {
  return { reason: rule, message: `Predicate ${rule} failed: ${why}` };
}

function sum(amounts: readonly number[]): number {
  return amounts.reduce((total, amount) => total + amount, 0);
}

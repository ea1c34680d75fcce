import type { NodeRow, NodeTable } from "./node-table.ts";
import { isClosed } from "./peers/barriers.ts";
import type { Kin } from "./peers/selectable-pod.ts";
import type { Barrier, Policy } from "./plugin.ts";
import type { PodShape } from "./pod-shape.ts";

/** Why one node cannot take the pod. */
export interface NodeRefusal {
  readonly node: string;
  /** Name of the filter that refused. */
  readonly filter: string;
  readonly reasons: readonly string[];
  /** What the reason has in common with those of other nodes, where it names what is true of this one alone. */
  readonly summary?: string;
}

/** Why no node can take the pod. */
export interface Refusal {
  /** As Kubernetes words it: "0/3 nodes are available: 1 node(s) were unschedulable, 2 Insufficient cpu." */
  readonly message: string;
  readonly nodes: readonly NodeRefusal[];
}

/** Reasons that differ only in what is named are told one by one up to this many, and summed up beyond. */
const TOLD_APART = 4;

/** Goes through all nodes again, this time for the reasons. */
export function explainRefusal(pod: PodShape, kin: Kin, nodes: NodeTable, policy: Policy): Refusal {
  const barriers = policy.peerFilters.map(({ name, barriers }) => ({ name, barriers: barriers(pod, kin, nodes) }));
  const refusals: NodeRefusal[] = [];
  for (const row of nodes.rows) {
    if (!row.present) continue;
    const refusal = refuseNode(pod, nodes, row, policy) ?? refuseForPeers(row, barriers);
    if (refusal) refusals.push(refusal);
  }
  return { message: refusalMessage(refusals, nodes.presentCount), nodes: refusals };
}

function refuseNode(pod: PodShape, nodes: NodeTable, row: NodeRow, policy: Policy): NodeRefusal | undefined {
  for (const filter of policy.staticFilters) {
    const reason = filter.refuses(pod.constraints, row);
    if (reason !== undefined) return { node: row.name, filter: filter.name, reasons: [reason] };
  }
  for (const filter of policy.capacityFilters) {
    const reasons = filter.refusals(pod, nodes, row);
    if (reasons.length > 0) return { node: row.name, filter: filter.name, reasons };
  }
  return undefined;
}

function refuseForPeers(row: NodeRow, filters: readonly { name: string; barriers: readonly Barrier[] }[]): NodeRefusal | undefined {
  for (const { name, barriers } of filters) {
    const closed = barriers.find((barrier) => isClosed(barrier, row.index));
    if (!closed) continue;
    const { text, summary } = closed.reason(row);
    return { node: row.name, filter: name, reasons: [text], summary };
  }
  return undefined;
}

function refusalMessage(refusals: readonly NodeRefusal[], nodeCount: number): string {
  if (nodeCount === 0) return "no nodes available to schedule pods";
  const variants = new Map<string, Set<string>>();
  for (const { reasons, summary } of refusals) {
    if (summary === undefined) continue;
    const known = variants.get(summary);
    if (known) for (const reason of reasons) known.add(reason);
    else variants.set(summary, new Set(reasons));
  }
  const counts = new Map<string, number>();
  for (const { reasons, summary } of refusals) {
    const isSummedUp = summary !== undefined && (variants.get(summary)?.size ?? 0) > TOLD_APART;
    for (const reason of isSummedUp ? [summary] : reasons) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  }
  const parts = [...counts].map(([reason, count]) => `${count} ${reason}`).sort();
  return `0/${nodeCount} nodes are available: ${parts.join(", ")}.`;
}

import type { NodeTable } from "./node-table.ts";
import type { Policy } from "./plugin.ts";
import type { PodShape } from "./pod-shape.ts";

/** Why one node cannot take the pod. */
export interface NodeRefusal {
  readonly node: string;
  /** Name of the filter that refused. */
  readonly filter: string;
  readonly reasons: readonly string[];
}

/** Why no node can take the pod. */
export interface Refusal {
  /** As Kubernetes words it: "0/3 nodes are available: 1 node(s) were unschedulable, 2 Insufficient cpu." */
  readonly message: string;
  readonly nodes: readonly NodeRefusal[];
}

/** Goes through all nodes again, this time for the reasons. */
export function explainRefusal(pod: PodShape, nodes: NodeTable, policy: Policy): Refusal {
  const refusals: NodeRefusal[] = [];
  for (const row of nodes.rows) {
    if (!row.present) continue;
    const refusal = refuseNode(pod, nodes, row.index, policy);
    if (refusal) refusals.push(refusal);
  }
  return { message: refusalMessage(refusals, nodes.presentCount), nodes: refusals };
}

function refuseNode(pod: PodShape, nodes: NodeTable, index: number, policy: Policy): NodeRefusal | undefined {
  const row = nodes.rows[index];
  if (!row) return undefined;
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

function refusalMessage(refusals: readonly NodeRefusal[], nodeCount: number): string {
  if (nodeCount === 0) return "no nodes available to schedule pods";
  const counts = new Map<string, number>();
  for (const { reasons } of refusals) for (const reason of reasons) counts.set(reason, (counts.get(reason) ?? 0) + 1);
  const parts = [...counts].map(([reason, count]) => `${count} ${reason}`).sort();
  return `0/${nodeCount} nodes are available: ${parts.join(", ")}.`;
}

import type { TopologySpreadConstraint } from "@tessera/proto";
import type { Constraints } from "../constraints.ts";
import { nodeAffinity } from "../filters/node-affinity.ts";
import { nodeSelector } from "../filters/node-selector.ts";
import { nodeUnschedulable } from "../filters/node-unschedulable.ts";
import { taintToleration } from "../filters/taint-toleration.ts";
import type { StaticFilter } from "../plugin.ts";
import type { Scope } from "./tally.ts";

/**
 * The nodes whose pods and domains a constraint counts: those with the labels of all the pod's constraints of the same strictness, less those
 * that its policies take out. By default nodeAffinityPolicy honors where the pod may go, and nodeTaintsPolicy ignores taints.
 */
export function spreadScope(
  { nodeAffinityPolicy = "Honor", nodeTaintsPolicy = "Ignore" }: TopologySpreadConstraint,
  topologyKeys: readonly string[],
  constraints: Constraints,
): Scope {
  const filters: StaticFilter[] = [];
  const decisive: unknown[] = [];
  if (nodeAffinityPolicy === "Honor") {
    filters.push(nodeSelector, nodeAffinity);
    decisive.push(constraints.nodeSelector, constraints.requiredTerms);
  }
  if (nodeTaintsPolicy === "Honor") {
    // Being cordoned is a taint too.
    filters.push(taintToleration, nodeUnschedulable);
    decisive.push(constraints.tolerations);
  }
  return {
    key: JSON.stringify([topologyKeys, filters.map(({ name }) => name), decisive]),
    includes: (row) =>
      topologyKeys.every((key) => row.labels[key] !== undefined) &&
      filters.every((filter) => filter.refuses(constraints, row) === undefined),
  };
}

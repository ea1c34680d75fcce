import type { NodeTable } from "../node-table.ts";
import type { SpreadRule } from "../peers/peer-rules.ts";
import type { PeerScore } from "../plugin.ts";

const hostname = "kubernetes.io/hostname";

/**
 * topologySpreadConstraints with ScheduleAnyway: the fewer of the pods a node's domains hold, the better. Nodes without the labels get nothing. The
 * arithmetic is that of Kubernetes' plugin of this name: a count weighs more the more domains there are, for small domains hold small counts.
 */
export const podTopologySpreadScore: PeerScore = {
  name: "PodTopologySpread",
  weight: 2,
  add(pod, _kin, nodes, candidates, count, totals) {
    const rules = pod.rules?.softSpread ?? [];
    if (rules.length === 0) return;
    const crowds = crowdsOf(rules, nodes, candidates, count);
    let least = Number.POSITIVE_INFINITY;
    let most = 0;
    for (const crowd of crowds) {
      if (crowd < 0) continue;
      least = Math.min(least, crowd);
      most = Math.max(most, crowd);
    }
    for (let i = 0; i < count; i++) {
      const crowd = crowds[i] ?? -1;
      if (crowd >= 0) totals[i] = (totals[i] ?? 0) + this.weight * (most === 0 ? 100 : (100 * (most + least - crowd)) / most);
    }
  },
};

/** How crowded the domains of each candidate are; -1 where it lacks one of the labels. */
function crowdsOf(rules: readonly SpreadRule[], nodes: NodeTable, candidates: Int32Array, count: number): Float64Array {
  const crowds = new Float64Array(count);
  for (const { tally } of rules) {
    const { domains } = tally.current(nodes).topology;
    for (let i = 0; i < count; i++) if ((domains[candidates[i] ?? 0] ?? -1) < 0) crowds[i] = -1;
  }
  for (const { tally, group, topologyKey, maxSkew } of rules) {
    const { domains } = tally.topology;
    const isPerNode = topologyKey === hostname;
    const weight = Math.log(domainCount(domains, crowds, candidates, isPerNode) + 2);
    for (let i = 0; i < count; i++) {
      const crowd = crowds[i] ?? -1;
      if (crowd < 0) continue;
      const row = candidates[i] ?? 0;
      const pods = isPerNode ? (group.staying.values[row] ?? 0) : (tally.sums[domains[row] ?? -1] ?? 0);
      crowds[i] = crowd + pods * weight + maxSkew - 1;
    }
  }
  for (let i = 0; i < count; i++) crowds[i] = Math.round(crowds[i] ?? 0);
  return crowds;
}

/** Domains of candidates that have all labels. */
function domainCount(domains: Int32Array, crowds: Float64Array, candidates: Int32Array, isPerNode: boolean): number {
  const met = new Set<number>();
  let nodes = 0;
  for (let i = 0; i < crowds.length; i++) {
    if ((crowds[i] ?? -1) < 0) continue;
    nodes++;
    if (!isPerNode) met.add(domains[candidates[i] ?? 0] ?? -1);
  }
  return isPerNode ? nodes : met.size;
}

import type { NodeTable } from "../node-table.ts";
import type { SpreadRule } from "../peers/peer-rules.ts";
import type { Kin } from "../peers/selectable-pod.ts";
import { marked, type Tally } from "../peers/tally.ts";
import type { Barrier, PeerFilter } from "../plugin.ts";

/** topologySpreadConstraints with DoNotSchedule: the pod may not make its domain fuller than the emptiest by more than maxSkew. */
export const podTopologySpread: PeerFilter = {
  name: "PodTopologySpread",
  barriers(pod, kin, nodes) {
    return (pod.rules?.spread ?? []).map((rule) => spreadBarrier(rule, kin, nodes));
  },
};

function spreadBarrier(rule: SpreadRule, kin: Kin, nodes: NodeTable): Barrier {
  const tally = rule.tally.current(nodes);
  const { topology, sums } = tally;
  // A pod that its own constraint does not select adds nothing wherever it goes.
  const self = kin.groups.includes(rule.group) ? 1 : 0;
  const most = leastCount(tally, rule.minDomains) + rule.maxSkew;
  return {
    domains: topology.domains,
    closed: marked(sums, (count) => count + self > most),
    closedElsewhere: true,
    reason(row) {
      const domain = topology.domains[row.index] ?? -1;
      const summary = `spread over ${topology.key}`;
      if (domain < 0) return { text: `spread: the node has no label ${topology.key}`, summary };
      const would = (sums[domain] ?? 0) + self;
      return { text: `spread over ${topology.key}: would be ${would} in ${topology.values[domain]}, at most ${most} allowed`, summary };
    },
  };
}

/** Pods in the emptiest domain that counts; none when there are fewer domains than the constraint asks for. */
function leastCount({ sums, nodes }: Tally, minDomains: number): number {
  let domains = 0;
  let least = Number.POSITIVE_INFINITY;
  for (let domain = 0; domain < sums.length; domain++) {
    if (nodes[domain] === 0) continue;
    domains++;
    least = Math.min(least, sums[domain] ?? 0);
  }
  return domains === 0 || domains < minDomains ? 0 : least;
}

import type { NodeTable } from "../node-table.ts";
import type { Kin } from "../peers/selectable-pod.ts";
import type { Tally } from "../peers/tally.ts";
import type { PeerScore } from "../plugin.ts";
import type { PodShape } from "../pod-shape.ts";

interface Attraction {
  readonly tally: Tally;
  readonly weight: number;
}

/**
 * Preferred affinity and anti-affinity of the pod towards those that are there, and of those towards the pod; a required affinity of theirs counts
 * for a little as well. The best node gets 100, the worst 0.
 */
export const interPodAffinityScore: PeerScore = {
  name: "InterPodAffinity",
  weight: 2,
  add(pod, kin, nodes, candidates, count, totals) {
    const attractions = attractionsOf(pod, kin, nodes);
    if (attractions.length === 0) return;
    const sums = new Float64Array(count);
    for (const { tally, weight } of attractions) {
      const { domains } = tally.topology;
      for (let i = 0; i < count; i++) {
        const domain = domains[candidates[i] ?? 0] ?? -1;
        if (domain >= 0) sums[i] = (sums[i] ?? 0) + weight * (tally.sums[domain] ?? 0);
      }
    }
    let least = Number.POSITIVE_INFINITY;
    let most = Number.NEGATIVE_INFINITY;
    for (const sum of sums) {
      if (sum < least) least = sum;
      if (sum > most) most = sum;
    }
    if (most <= least) return;
    const scale = (this.weight * 100) / (most - least);
    for (let i = 0; i < count; i++) totals[i] = (totals[i] ?? 0) + scale * ((sums[i] ?? 0) - least);
  },
};

function attractionsOf({ rules }: PodShape, { groups }: Kin, nodes: NodeTable): Attraction[] {
  const own = (rules?.preferred ?? []).filter(({ group }) => group.members.total > 0);
  const attractions = own.map(({ tally, weight }): Attraction => ({ tally: tally.current(nodes), weight }));
  for (const group of groups) {
    for (const [topologyKey, { column, rows }] of group.drawing) {
      if (rows.size > 0) attractions.push({ tally: nodes.peers.tally(column, topologyKey).current(nodes), weight: 1 });
    }
  }
  return attractions;
}

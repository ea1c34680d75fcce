import type { NodeTable, Resident } from "../node-table.ts";
import type { PodGroup } from "../peers/pod-group.ts";
import type { Kin } from "../peers/selectable-pod.ts";
import { marked, type Tally } from "../peers/tally.ts";
import type { Barrier, PeerFilter } from "../plugin.ts";
import type { PodShape } from "../pod-shape.ts";

/**
 * Required affinity and anti-affinity: the pod's own, and the anti-affinity of pods that have a node already. Pods count for as long as they are
 * on their nodes, also while they end.
 */
export const interPodAffinity: PeerFilter = {
  name: "InterPodAffinity",
  barriers(pod, kin, nodes) {
    return [...affinityBarriers(pod, kin, nodes), ...antiAffinityBarriers(pod, nodes), ...repellingBarriers(kin, nodes)];
  },
};

function affinityBarriers({ rules }: PodShape, kin: Kin, nodes: NodeTable): Barrier[] {
  if (!rules?.affinity) return [];
  const { group, tallies } = rules.affinity;
  const current = tallies.map((tally) => tally.current(nodes));
  // The first of pods that want to be near each other would wait for ever: it may go to any node that has the labels.
  const isFirst = kin.groups.includes(group) && current.every(({ sums }) => !sums.some((count) => count > 0));
  return current.map(({ topology, sums }) => ({
    domains: topology.domains,
    closed: isFirst ? new Uint8Array(sums.length) : marked(sums, (count) => count === 0),
    closedElsewhere: true,
    reason(row) {
      const value = row.labels[topology.key];
      const summary = `pod affinity over ${topology.key}`;
      if (value === undefined) return { text: `pod affinity: the node has no label ${topology.key}`, summary };
      return { text: `pod affinity over ${topology.key}: no pod that it wants to be near is in ${value}`, summary };
    },
  }));
}

function antiAffinityBarriers({ rules }: PodShape, nodes: NodeTable): Barrier[] {
  return (rules?.antiAffinity ?? []).map(({ group, tally }) => closedWhereAny(tally.current(nodes), "with", () => membersOf(group, nodes)));
}

/** Anti-affinity holds in both directions: who is there already need not put up with this pod. */
function repellingBarriers({ groups }: Kin, nodes: NodeTable): Barrier[] {
  const barriers: Barrier[] = [];
  for (const group of groups) {
    for (const [topologyKey, owners] of group.repelling) {
      if (owners.column.total === 0) continue;
      const tally = nodes.peers.tally(owners.column, topologyKey).current(nodes);
      barriers.push(closedWhereAny(tally, "of", () => owners.rows));
    }
  }
  return barriers;
}

function closedWhereAny({ topology, sums }: Tally, preposition: "with" | "of", pods: () => Iterable<[Resident, number]>): Barrier {
  let names: ReadonlyMap<number, string> | undefined;
  return {
    domains: topology.domains,
    closed: marked(sums, (count) => count > 0),
    closedElsewhere: false,
    reason(row) {
      names ??= firstByDomain(pods(), topology.domains);
      const who = names.get(topology.domains[row.index] ?? -1) ?? "another pod";
      return {
        text: `pod anti-affinity ${preposition} ${who} over ${topology.key}`,
        summary: `pod anti-affinity ${preposition} other pods over ${topology.key}`,
      };
    },
  };
}

function* membersOf(group: PodGroup, nodes: NodeTable): Iterable<[Resident, number]> {
  for (const pod of nodes.peers.membersOf(group)) yield* pod.residents;
}

function firstByDomain(pods: Iterable<[Resident, number]>, domains: Int32Array): ReadonlyMap<number, string> {
  const names = new Map<number, string>();
  for (const [{ namespace, name }, row] of pods) {
    const domain = domains[row] ?? -1;
    if (!names.has(domain)) names.set(domain, `${namespace}/${name}`);
  }
  return names;
}

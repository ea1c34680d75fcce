import { type NodeBuilder, node, type PodBuilder } from "../../controllers/testing/builders.ts";
import { NodeRow, NodeTable, type Resident } from "../node-table.ts";
import { isClosed } from "../peers/barriers.ts";
import { Placer } from "../placer.ts";
import type { CapacityFilter, CapacityScore, PeerFilter, PeerScore, Policy, StaticFilter } from "../plugin.ts";
import { type PodShape, ShapeCatalog } from "../pod-shape.ts";
import { defaultPolicy } from "../policy.ts";

/** A node table with a few nodes, to ask one filter or score about a pod. */
export class BenchTable {
  readonly nodes = new NodeTable();
  readonly shapes = new ShapeCatalog(this.nodes);
  readonly #policy: Policy;
  readonly #placer: Placer;
  constructor(nodes: readonly NodeBuilder[], policy: Policy = defaultPolicy) {
    for (const node of nodes) this.nodes.setNode(node.build());
    this.#policy = policy;
    this.#placer = new Placer(this.nodes, policy);
  }

  shape(pod: PodBuilder): PodShape {
    const { spec = {}, metadata } = pod.build();
    return this.shapes.acquire(spec, metadata?.namespace ?? "");
  }

  /** The pod as its node would count it. */
  resident(pod: PodBuilder): Resident {
    const { metadata: { namespace = "", name = "", labels, deletionTimestamp } = {} } = pod.build();
    const selectable = this.nodes.peers.acquirePod(namespace, labels);
    return { namespace, name, shape: this.shape(pod), selectable, isLeaving: deletionTimestamp !== undefined };
  }

  /** Counts a pod on a node. */
  run(pod: PodBuilder, nodeName: string): this {
    this.nodes.take(nodeName, this.resident(pod));
    return this;
  }

  /** Tells a node to take no new pods. */
  cordon(nodeName: string): this {
    this.nodes.setNode(node(nodeName).cordoned().build());
    return this;
  }

  /** The chosen node's name, or the refusal's message. */
  place(pod: PodBuilder): string {
    return this.#ask(this.#placer, pod);
  }

  /** As `place`, by a placer that has kept nothing from before. */
  placeAfresh(pod: PodBuilder): string {
    return this.#ask(new Placer(this.nodes, this.#policy), pod);
  }

  #ask(placer: Placer, pod: PodBuilder): string {
    const { shape, selectable } = this.resident(pod);
    const answer = placer.place(shape, selectable.kin);
    return answer instanceof NodeRow ? answer.name : answer.message;
  }

  /** What a static filter says of each node: undefined where the pod may run. */
  refusals(filter: StaticFilter, pod: PodBuilder): Record<string, string | undefined> {
    const { constraints } = this.shape(pod);
    return Object.fromEntries(this.nodes.rows.map((row) => [row.name, filter.refuses(constraints, row)]));
  }

  /** Nodes that a rule about other pods leaves to the pod. */
  allowed(filter: PeerFilter, pod: PodBuilder): string[] {
    const { shape, selectable } = this.resident(pod);
    const barriers = filter.barriers(shape, selectable.kin, this.nodes);
    return this.nodes.rows.filter(({ index }) => !barriers.some((barrier) => isClosed(barrier, index))).map(({ name }) => name);
  }

  /** What a score that compares nodes by their pods gives each of them. */
  peerScores(score: PeerScore, pod: PodBuilder): Record<string, number> {
    const { shape, selectable } = this.resident(pod);
    const candidates = Int32Array.from(this.nodes.rows, (row) => row.index);
    const totals = new Float64Array(candidates.length);
    score.add(shape, selectable.kin, this.nodes, candidates, candidates.length, totals);
    return Object.fromEntries(this.nodes.rows.map((row, i) => [row.name, Math.round(totals[i] ?? 0)]));
  }

  /** What a capacity filter says of each node; checks that its two ways of judging agree. */
  shortages(filter: CapacityFilter, pod: PodBuilder): Record<string, string[]> {
    const shape = this.shape(pod);
    const candidates = Int32Array.from(this.nodes.rows, (row) => row.index);
    const kept = new Set(candidates.subarray(0, filter.narrow(shape, this.nodes, candidates, candidates.length)));
    const entries = this.nodes.rows.map((row) => [row.name, filter.refusals(shape, this.nodes, row)] as const);
    for (const [i, [name, reasons]] of entries.entries()) {
      if (kept.has(i) !== (reasons.length === 0))
        throw new Error(`${filter.name} keeps ${name}: ${kept.has(i)}, but explains ${JSON.stringify(reasons)}`);
    }
    return Object.fromEntries(entries);
  }

  /** What a score gives each node. */
  scores(score: CapacityScore, pod: PodBuilder): Record<string, number> {
    const candidates = Int32Array.from(this.nodes.rows, (row) => row.index);
    const totals = new Float64Array(candidates.length);
    score.add(this.shape(pod), this.nodes, candidates, candidates.length, totals);
    return Object.fromEntries(this.nodes.rows.map((row, i) => [row.name, totals[i] ?? 0]));
  }
}

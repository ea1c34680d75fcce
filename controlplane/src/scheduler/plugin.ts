import type { NodeRow, NodeTable } from "./node-table.ts";
import type { PodShape } from "./pod-shape.ts";

/**
 * A rule that looks only at what changes rarely: labels, taints and names of a node. Its verdict is kept per (constraints, node) and asked for
 * again only when the node's side changed.
 */
export interface StaticFilter {
  readonly name: string;
  /** Why the pod may not run there, in Kubernetes' words; undefined when it may. */
  refuses(pod: PodShape["constraints"], node: NodeRow): string | undefined;
}

/** A rule about what a node has left. Works on columns: it sees all candidates at once. */
export interface CapacityFilter {
  readonly name: string;
  /** Keeps the first `count` candidates that pass, in order, at the front of `candidates`; returns how many. */
  narrow(pod: PodShape, nodes: NodeTable, candidates: Int32Array, count: number): number;
  /** Every reason why the pod does not fit there, in Kubernetes' words; empty when it does. */
  refusals(pod: PodShape, nodes: NodeTable, row: NodeRow): string[];
}

/** How well a node's labels and taints suit the pod; kept as the verdicts of static filters are. Ratings are scaled to 0..100 over the candidates. */
export interface StaticScore {
  readonly name: string;
  readonly weight: number;
  /** "low": the node with the lowest rating gets 100. */
  readonly best: "high" | "low";
  rate(pod: PodShape["constraints"], node: NodeRow): number;
}

/** How well a node suits the pod given what it has: room, and images. */
export interface CapacityScore {
  readonly name: string;
  readonly weight: number;
  /** Adds `weight` times 0..100 to totals[i] for each of the first `count` candidates. */
  add(pod: PodShape, nodes: NodeTable, candidates: Int32Array, count: number, totals: Float64Array): void;
}

export interface Policy {
  readonly staticFilters: readonly StaticFilter[];
  readonly capacityFilters: readonly CapacityFilter[];
  readonly staticScores: readonly StaticScore[];
  readonly capacityScores: readonly CapacityScore[];
}

import type { NodeRow, NodeTable } from "./node-table.ts";
import type { Kin } from "./peers/selectable-pod.ts";
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

/** Why a node is out on account of other pods. */
export interface PeerReason {
  /** With what is true of this node alone: "pod anti-affinity with default/web-1 over kubernetes.io/hostname". */
  readonly text: string;
  /** What many nodes have in common: "pod anti-affinity over kubernetes.io/hostname". */
  readonly summary: string;
}

/** Domains of one topology that a pod may not go to, whatever their nodes have left. */
export interface Barrier {
  /** The domain of each row; -1: none. */
  readonly domains: Int32Array;
  /** By domain: 1 where it is closed. */
  readonly closed: Uint8Array;
  /** Whether nodes in no domain are out as well. */
  readonly closedElsewhere: boolean;
  /** To be asked of rows that are out. The pods that it names are looked for at the first call. */
  reason(row: NodeRow): PeerReason;
}

/** A rule about other pods, the pod's own or theirs. One pod placed may change it for every node, so it is asked anew for each placement. */
export interface PeerFilter {
  readonly name: string;
  /** In the order in which their reasons are told. */
  barriers(pod: PodShape, kin: Kin, nodes: NodeTable): Barrier[];
}

/** How well a node suits the pod given the other pods. Scores of all candidates are compared, so it sees all of them. */
export interface PeerScore {
  readonly name: string;
  readonly weight: number;
  /** Adds `weight` times 0..100 to totals[i] for each of the first `count` candidates. */
  add(pod: PodShape, kin: Kin, nodes: NodeTable, candidates: Int32Array, count: number, totals: Float64Array): void;
}

export interface Policy {
  readonly staticFilters: readonly StaticFilter[];
  readonly capacityFilters: readonly CapacityFilter[];
  readonly staticScores: readonly StaticScore[];
  readonly capacityScores: readonly CapacityScore[];
  readonly peerFilters: readonly PeerFilter[];
  readonly peerScores: readonly PeerScore[];
}

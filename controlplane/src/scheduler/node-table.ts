import { type ContainerImage, type Node, resourceAmount, type Taint } from "@tessera/proto";
import { ImageTable } from "./image-table.ts";
import { PeerTable } from "./peers/peer-table.ts";
import type { SelectablePod } from "./peers/selectable-pod.ts";
import type { PodShape } from "./pod-shape.ts";

/** One resource of all nodes, indexed by row. */
export interface ResourceColumn {
  readonly name: string;
  allocatable: Float64Array;
  /** allocatable less what the pods there take. Negative when a node shrank below its pods. */
  free: Float64Array;
}

/** A pod as its node's row counts it. */
export interface Resident {
  readonly namespace: string;
  readonly name: string;
  readonly shape: PodShape;
  readonly selectable: SelectablePod;
  /** It is being deleted. */
  readonly isLeaving: boolean;
}

/** A node as the scheduler knows it. Rows are reused after a node has gone, indices stay small. */
export class NodeRow {
  readonly index: number;
  name = "";
  /** False: there is no such Node object; pods bound to the name are still counted. */
  present = false;
  labels: Readonly<Record<string, string>> = {};
  taints: readonly Taint[] = [];
  unschedulable = false;
  /** "TCP/0.0.0.0/80" -> number of pods that hold it. */
  readonly hostPorts = new Map<string, number>();
  pods = 0;
  /** Grows with every change of what static filters look at. */
  version = 0;
  constructor(index: number) {
    this.index = index;
  }
}

/** Changes of rows that are remembered; who has missed more looks at all rows anew. */
const CHANGES = 4096;

const noImages: readonly ContainerImage[] = [];

/** Columns that exist always, in this order. */
export const CPU = 0;
export const MEMORY = 1;
export const PODS = 2;

/**
 * All nodes with what they have left, as columns of numbers: a pass over 5,000 nodes for one pod is a few tight loops. Changed by whoever sees the
 * cache's events; reads are synchronous, so every decision is made on one consistent state.
 */
export class NodeTable {
  readonly rows: NodeRow[] = [];
  readonly resources: ResourceColumn[] = [];
  readonly images = new ImageTable((index) => this.#noteIndex(index));
  readonly peers = new PeerTable();
  /** Free cpu and memory, with pods that request nothing counted for a little: what LeastAllocated looks at. */
  scoredFreeCpu: Float64Array = new Float64Array(0);
  scoredFreeMemory: Float64Array = new Float64Array(0);
  /** Grows whenever a pod that fitted nowhere might fit now, or be refused for other reasons. */
  growth = 0;
  /** Grows whenever a static filter may judge some node anew. */
  staticVersion = 0;
  presentCount = 0;
  /** How many changes of rows there were; the row of change n is `changedRow(n)` while it is remembered. */
  changeCount = 0;
  readonly #changes = new Int32Array(CHANGES);
  readonly #byName = new Map<string, NodeRow>();
  readonly #resourceIndex = new Map<string, number>();
  readonly #vacant: NodeRow[] = [];
  #improved = new Set<number>();
  #capacity = 0;

  constructor() {
    for (const name of ["cpu", "memory", "pods"]) this.resourceIndex(name);
  }

  row(name: string): NodeRow | undefined {
    return this.#byName.get(name);
  }

  /** The column number of a resource; makes the column if need be. */
  resourceIndex(name: string): number {
    const known = this.#resourceIndex.get(name);
    if (known !== undefined) return known;
    const index = this.resources.length;
    this.resources.push({ name, allocatable: new Float64Array(this.#capacity), free: new Float64Array(this.#capacity) });
    this.#resourceIndex.set(name, index);
    return index;
  }

  /** Adds the node or takes over its new state. */
  setNode(node: Node): void {
    const row = this.#rowFor(node.metadata?.name ?? "");
    this.#note(row);
    const labels = node.metadata?.labels ?? {};
    const taints = node.spec?.taints ?? [];
    const unschedulable = node.spec?.unschedulable ?? false;
    const arrived = !row.present;
    if (arrived || row.unschedulable !== unschedulable || !sameLabels(row.labels, labels) || !sameTaints(row.taints, taints)) {
      row.labels = labels;
      row.taints = taints;
      row.unschedulable = unschedulable;
      this.#staticChange(row);
      this.#improve(row);
    }
    if (arrived) {
      row.present = true;
      this.images.setNodeCount(++this.presentCount);
    }
    this.images.setRow(row.index, node.status?.images ?? noImages);
    if (this.#setAllocatable(row, node.status?.allocatable ?? node.status?.capacity ?? {})) this.#improve(row);
  }

  /** Forgets the node; pods bound to its name stay counted until they go. */
  removeNode(name: string): void {
    const row = this.#byName.get(name);
    if (!row?.present) return;
    this.#note(row);
    row.present = false;
    this.images.setRow(row.index, noImages);
    this.images.setNodeCount(--this.presentCount);
    this.#staticChange(row);
    this.#improved.delete(row.index);
    // No pod fits better for it, but the reasons that were given count one node too many.
    this.growth++;
    this.#setAllocatable(row, {});
    this.#vacate(row);
  }

  /** Counts a pod on a node, known or not; returns its row. */
  take(name: string, pod: Resident): NodeRow {
    const row = this.#rowFor(name);
    this.#note(row);
    row.pods++;
    this.#count(row, pod.shape, -1);
    this.peers.count(pod, row.index, 1);
    for (const port of pod.shape.hostPorts) row.hostPorts.set(port, (row.hostPorts.get(port) ?? 0) + 1);
    return row;
  }

  /** Undoes `take` of this very resident. */
  release(row: NodeRow, pod: Resident): void {
    this.#note(row);
    row.pods--;
    this.#count(row, pod.shape, 1);
    this.peers.count(pod, row.index, -1);
    for (const port of pod.shape.hostPorts) {
      const holders = (row.hostPorts.get(port) ?? 0) - 1;
      if (holders > 0) row.hostPorts.set(port, holders);
      else row.hostPorts.delete(port);
    }
    if (row.present) this.#improve(row);
    else this.#vacate(row);
  }

  /** Whether `changedRow` still knows all changes from the given one on. */
  remembersChange(change: number): boolean {
    return this.changeCount - change <= CHANGES;
  }

  /** The row that the given change was about. */
  changedRow(change: number): number {
    return this.#changes[change % CHANGES] ?? 0;
  }

  /** Rows that may take more than when this was asked last. */
  takeImproved(): ReadonlySet<number> {
    const improved = this.#improved;
    if (improved.size > 0) this.#improved = new Set();
    return improved;
  }

  #count(row: NodeRow, pod: PodShape, sign: 1 | -1): void {
    for (const request of pod.requests) {
      const column = this.resources[request.resource];
      if (column) column.free[row.index] = (column.free[row.index] ?? 0) + sign * request.amount;
    }
    this.scoredFreeCpu[row.index] = (this.scoredFreeCpu[row.index] ?? 0) + sign * pod.scoredCpuMilli;
    this.scoredFreeMemory[row.index] = (this.scoredFreeMemory[row.index] ?? 0) + sign * pod.scoredMemoryBytes;
  }

  /** Returns whether the node has more of anything than before. */
  #setAllocatable(row: NodeRow, allocatable: Readonly<Record<string, string>>): boolean {
    for (const name of Object.keys(allocatable)) this.resourceIndex(name);
    let grew = false;
    for (const [index, column] of this.resources.entries()) {
      const quantity = allocatable[column.name];
      const amount = quantity === undefined ? 0 : resourceAmount(column.name, quantity);
      const change = amount - (column.allocatable[row.index] ?? 0);
      if (change === 0) continue;
      column.allocatable[row.index] = amount;
      column.free[row.index] = (column.free[row.index] ?? 0) + change;
      if (index === CPU) this.scoredFreeCpu[row.index] = (this.scoredFreeCpu[row.index] ?? 0) + change;
      if (index === MEMORY) this.scoredFreeMemory[row.index] = (this.scoredFreeMemory[row.index] ?? 0) + change;
      if (change > 0) grew = true;
    }
    return grew;
  }

  #rowFor(name: string): NodeRow {
    const known = this.#byName.get(name);
    if (known) return known;
    const row = this.#vacant.pop() ?? this.#newRow();
    row.name = name;
    this.#byName.set(name, row);
    return row;
  }

  #newRow(): NodeRow {
    const row = new NodeRow(this.rows.length);
    this.rows.push(row);
    if (this.rows.length > this.#capacity) this.#grow(Math.max(64, this.#capacity * 2));
    return row;
  }

  #grow(capacity: number): void {
    this.#capacity = capacity;
    for (const column of this.resources) {
      column.allocatable = enlarge(column.allocatable, capacity);
      column.free = enlarge(column.free, capacity);
    }
    this.scoredFreeCpu = enlarge(this.scoredFreeCpu, capacity);
    this.scoredFreeMemory = enlarge(this.scoredFreeMemory, capacity);
  }

  #vacate(row: NodeRow): void {
    if (row.present || row.pods > 0) return;
    this.#byName.delete(row.name);
    row.name = "";
    row.labels = {};
    row.taints = [];
    this.#vacant.push(row);
  }

  #note(row: NodeRow): void {
    this.#noteIndex(row.index);
  }

  #noteIndex(index: number): void {
    this.#changes[this.changeCount++ % CHANGES] = index;
  }

  #staticChange(row: NodeRow): void {
    row.version++;
    this.staticVersion++;
  }

  #improve(row: NodeRow): void {
    this.#improved.add(row.index);
    this.growth++;
  }
}

function enlarge(column: Float64Array, capacity: number): Float64Array {
  const larger = new Float64Array(capacity);
  larger.set(column);
  return larger;
}

export function sameLabels(a: Readonly<Record<string, string>>, b: Readonly<Record<string, string>>): boolean {
  if (a === b) return true;
  const keys = Object.keys(a);
  return keys.length === Object.keys(b).length && keys.every((key) => a[key] === b[key]);
}

function sameTaints(a: readonly Taint[], b: readonly Taint[]): boolean {
  return (
    a.length === b.length &&
    a.every((taint, i) => taint.key === b[i]?.key && (taint.value ?? "") === (b[i]?.value ?? "") && taint.effect === b[i]?.effect)
  );
}

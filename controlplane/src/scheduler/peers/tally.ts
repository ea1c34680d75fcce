import type { NodeRow, NodeTable } from "../node-table.ts";
import type { Topology } from "./topology.ts";

/** Which nodes count, where not all do. */
export interface Scope {
  /** Equal for scopes that include the same nodes. */
  readonly key: string;
  includes(row: NodeRow): boolean;
}

/**
 * A number per node, such as pods of a group, with its sums over domains. A pod that comes or goes changes one number and one sum per tally: nothing is
 * ever counted from the pods again. Only when labels of nodes changed, sums are made anew from the numbers.
 */
export class Column {
  values: Int32Array = new Int32Array(0);
  /** Over all nodes, known or not. */
  total = 0;
  readonly #tallies = new Map<string, Tally>();

  /** The sums over the domains of a topology. `topology` is asked for when there is no such tally yet. */
  tally(topologyKey: string, topology: () => Topology, scope?: Scope): Tally {
    const key = scope === undefined ? topologyKey : `${topologyKey} ${scope.key}`;
    let tally = this.#tallies.get(key);
    if (!tally) {
      tally = new Tally(key, this, topology(), scope);
      this.#tallies.set(key, tally);
    }
    return tally;
  }

  forget({ key }: Tally): void {
    this.#tallies.delete(key);
  }

  add(row: number, amount: number): void {
    if (row >= this.values.length) this.#grow(row);
    this.values[row] = (this.values[row] ?? 0) + amount;
    this.total += amount;
    for (const tally of this.#tallies.values()) tally.add(row, amount);
  }

  get tallies(): Iterable<Tally> {
    return this.#tallies.values();
  }

  #grow(row: number): void {
    const larger = new Int32Array(Math.max(64, (row + 1) * 2));
    larger.set(this.values);
    this.values = larger;
  }
}

/** A column summed by domain. */
export class Tally {
  /** Of the column's tallies. */
  readonly key: string;
  readonly column: Column;
  readonly topology: Topology;
  /** Rules that it was made for. */
  users = 0;
  /** By domain. */
  sums: Int32Array = new Int32Array(0);
  /** By domain: its nodes that are in the scope. */
  nodes: Int32Array = new Int32Array(0);
  readonly #scope: Scope | undefined;
  #isIncluded: Uint8Array = new Uint8Array(0);
  /** The static version of the nodes that the sums are of. */
  #madeFor = -1;
  constructor(key: string, column: Column, topology: Topology, scope: Scope | undefined) {
    this.key = key;
    this.column = column;
    this.topology = topology;
    this.#scope = scope;
  }

  /** Itself, true for the nodes as they are now. To be called before each use. */
  current(nodes: NodeTable): this {
    if (this.#madeFor !== nodes.staticVersion) this.#makeAnew(nodes);
    return this;
  }

  /** For the column: a number has changed. What this does to sums of nodes as they were is of no matter: they are made anew before they are used. */
  add(row: number, amount: number): void {
    const domain = this.topology.domains[row] ?? -1;
    if (domain >= 0 && this.#isIncluded[row] === 1) this.sums[domain] = (this.sums[domain] ?? 0) + amount;
  }

  #makeAnew(nodes: NodeTable): void {
    this.#madeFor = nodes.staticVersion;
    this.topology.refresh(nodes);
    const { domains, values } = this.topology;
    this.sums = new Int32Array(values.length);
    this.nodes = new Int32Array(values.length);
    this.#isIncluded = new Uint8Array(nodes.rows.length);
    for (const row of nodes.rows) {
      const domain = domains[row.index] ?? -1;
      if (domain < 0 || this.#scope?.includes(row) === false) continue;
      this.#isIncluded[row.index] = 1;
      this.sums[domain] = (this.sums[domain] ?? 0) + (this.column.values[row.index] ?? 0);
      this.nodes[domain] = (this.nodes[domain] ?? 0) + 1;
    }
  }
}

/** 1 for each of the sums that the test says yes to. */
export function marked(sums: Int32Array, test: (sum: number) => boolean): Uint8Array {
  const marks = new Uint8Array(sums.length);
  for (let domain = 0; domain < sums.length; domain++) if (test(sums[domain] ?? 0)) marks[domain] = 1;
  return marks;
}

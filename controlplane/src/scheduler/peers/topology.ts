import type { NodeTable } from "../node-table.ts";

/** What the cluster falls into by the values of one node label, such as zones: each value is a domain, with a small number as its name here. */
export class Topology {
  /** The label's key. */
  readonly key: string;
  /** The domain of each row; -1 where the node lacks the label or there is no such node. */
  domains: Int32Array = new Int32Array(0);
  /** The label's value by domain. */
  values: readonly string[] = [];
  #staticVersion = -1;
  constructor(key: string) {
    this.key = key;
  }

  /** Numbers are given anew whenever labels of nodes changed. */
  refresh(nodes: NodeTable): void {
    if (this.#staticVersion === nodes.staticVersion) return;
    this.#staticVersion = nodes.staticVersion;
    if (this.domains.length < nodes.rows.length) this.domains = new Int32Array(nodes.rows.length * 2);
    this.domains.fill(-1);
    const numbers = new Map<string, number>();
    for (const row of nodes.rows) {
      const value = row.present ? row.labels[this.key] : undefined;
      if (value === undefined) continue;
      const number = numbers.get(value) ?? numbers.size;
      numbers.set(value, number);
      this.domains[row.index] = number;
    }
    this.values = [...numbers.keys()];
  }
}

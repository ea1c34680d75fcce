import type { Constraints } from "./constraints.ts";
import type { NodeTable } from "./node-table.ts";
import type { Policy } from "./plugin.ts";

/** What the static filters and scores say of every node for one set of constraints. */
export class Eligibility {
  /** Rows that pass all static filters, ascending; the first `count` entries count. */
  candidates: Int32Array = new Int32Array(0);
  count = 0;
  /** One per static score of the policy, by row; undefined while it rates no node other than 0. */
  readonly ratings: (Float64Array | undefined)[];
  readonly #constraints: Constraints;
  readonly #policy: Policy;
  #eligible: Uint8Array = new Uint8Array(0);
  /** The row's version that was judged; -1: none yet. */
  #judged: Int32Array = new Int32Array(0);
  #staticVersion = -1;
  constructor(constraints: Constraints, policy: Policy) {
    this.#constraints = constraints;
    this.#policy = policy;
    this.ratings = policy.staticScores.map(() => undefined);
  }

  /** Judges anew the nodes that changed since it was asked last. */
  refresh(nodes: NodeTable): void {
    if (this.#staticVersion === nodes.staticVersion) return;
    this.#staticVersion = nodes.staticVersion;
    if (this.#judged.length < nodes.rows.length) this.#enlarge(nodes.rows.length * 2);
    let count = 0;
    for (const row of nodes.rows) {
      if (this.#judged[row.index] !== row.version) this.#judge(nodes, row.index);
      if (this.#eligible[row.index] === 1) this.candidates[count++] = row.index;
    }
    this.count = count;
  }

  includes(nodes: NodeTable, index: number): boolean {
    this.refresh(nodes);
    return this.#eligible[index] === 1;
  }

  #judge(nodes: NodeTable, index: number): void {
    const row = nodes.rows[index];
    if (!row) return;
    this.#judged[index] = row.version;
    const eligible = row.present && this.#policy.staticFilters.every((filter) => filter.refuses(this.#constraints, row) === undefined);
    this.#eligible[index] = eligible ? 1 : 0;
    if (!eligible) return;
    for (const [i, score] of this.#policy.staticScores.entries()) {
      const rating = score.rate(this.#constraints, row);
      const ratings = this.ratings[i];
      if (ratings) ratings[index] = rating;
      else if (rating !== 0) {
        const fresh = new Float64Array(this.#judged.length);
        fresh[index] = rating;
        this.ratings[i] = fresh;
      }
    }
  }

  #enlarge(capacity: number): void {
    const eligible = new Uint8Array(capacity);
    eligible.set(this.#eligible);
    this.#eligible = eligible;
    const judged = new Int32Array(capacity).fill(-1);
    judged.set(this.#judged);
    this.#judged = judged;
    this.candidates = new Int32Array(capacity);
    for (const [i, ratings] of this.ratings.entries()) {
      if (!ratings) continue;
      const larger = new Float64Array(capacity);
      larger.set(ratings);
      this.ratings[i] = larger;
    }
  }
}

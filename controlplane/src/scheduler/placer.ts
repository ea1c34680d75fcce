import type { Constraints } from "./constraints.ts";
import { Eligibility } from "./eligibility.ts";
import type { NodeRow, NodeTable } from "./node-table.ts";
import type { Policy } from "./plugin.ts";
import type { PodShape } from "./pod-shape.ts";
import { explainRefusal, type Refusal } from "./refusal.ts";

/**
 * Decides where a pod goes; changes nothing. The same calls on the same table give the same answers.
 *
 * Every filter looks at one node at a time, so a shape that was refused stays refused until some node improves (NodeTable.growth): the refusal is kept.
 */
export class Placer {
  readonly #nodes: NodeTable;
  readonly #policy: Policy;
  readonly #eligibility = new WeakMap<Constraints, Eligibility>();
  readonly #refusals = new WeakMap<PodShape, { readonly growth: number; readonly refusal: Refusal }>();
  #candidates = new Int32Array(64);
  #totals = new Float64Array(64);
  /** Where among equals the search starts: moves on with every pod placed. */
  #turn = 0;
  constructor(nodes: NodeTable, policy: Policy) {
    this.#nodes = nodes;
    this.#policy = policy;
  }

  /** The best node, or why there is none. */
  place(pod: PodShape): NodeRow | Refusal {
    const known = this.#refusals.get(pod);
    if (known?.growth === this.#nodes.growth) return known.refusal;
    const row = this.#best(pod);
    if (row) return row;
    const refusal = explainRefusal(pod, this.#nodes, this.#policy);
    this.#refusals.set(pod, { growth: this.#nodes.growth, refusal });
    return refusal;
  }

  /** Whether this one node could take the pod now. */
  fits(pod: PodShape, index: number): boolean {
    if (!this.#eligible(pod.constraints).includes(this.#nodes, index)) return false;
    this.#candidates[0] = index;
    return this.#narrow(pod, 1) === 1;
  }

  #best(pod: PodShape): NodeRow | undefined {
    const eligibility = this.#eligible(pod.constraints);
    eligibility.refresh(this.#nodes);
    if (this.#candidates.length < eligibility.count) {
      this.#candidates = new Int32Array(eligibility.candidates.length);
      this.#totals = new Float64Array(eligibility.candidates.length);
    }
    this.#candidates.set(eligibility.candidates.subarray(0, eligibility.count));
    const count = this.#narrow(pod, eligibility.count);
    if (count === 0) return undefined;
    const totals = this.#totals.fill(0, 0, count);
    for (const score of this.#policy.capacityScores) score.add(pod, this.#nodes, this.#candidates, count, totals);
    this.#addStaticScores(eligibility, count);
    return this.#nodes.rows[this.#candidates[highest(totals, count, this.#turn++ % count)] ?? 0];
  }

  #narrow(pod: PodShape, count: number): number {
    let left = count;
    for (const filter of this.#policy.capacityFilters) {
      left = filter.narrow(pod, this.#nodes, this.#candidates, left);
      if (left === 0) break;
    }
    return left;
  }

  #addStaticScores(eligibility: Eligibility, count: number): void {
    for (const [i, score] of this.#policy.staticScores.entries()) {
      const ratings = eligibility.ratings[i];
      if (!ratings) continue;
      let max = 0;
      for (let c = 0; c < count; c++) max = Math.max(max, ratings[this.#candidates[c] ?? 0] ?? 0);
      if (max === 0) continue;
      const scale = (score.weight * 100) / max;
      for (let c = 0; c < count; c++) {
        const rating = ratings[this.#candidates[c] ?? 0] ?? 0;
        this.#totals[c] = (this.#totals[c] ?? 0) + scale * (score.best === "high" ? rating : max - rating);
      }
    }
  }

  #eligible(constraints: Constraints): Eligibility {
    let eligibility = this.#eligibility.get(constraints);
    if (!eligibility) {
      eligibility = new Eligibility(constraints, this.#policy);
      this.#eligibility.set(constraints, eligibility);
    }
    return eligibility;
  }
}

/** The position of the largest value; of equal ones the first from `start` on, round the end. */
function highest(totals: Float64Array, count: number, start: number): number {
  let best = start;
  let bestTotal = totals[start] ?? 0;
  for (let i = start + 1; i < count; i++) {
    const total = totals[i] ?? 0;
    if (total > bestTotal) {
      best = i;
      bestTotal = total;
    }
  }
  for (let i = 0; i < start; i++) {
    const total = totals[i] ?? 0;
    if (total > bestTotal) {
      best = i;
      bestTotal = total;
    }
  }
  return best;
}

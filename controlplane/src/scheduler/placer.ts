import type { Constraints } from "./constraints.ts";
import { Eligibility } from "./eligibility.ts";
import type { NodeRow, NodeTable } from "./node-table.ts";
import type { Policy } from "./plugin.ts";
import type { PodShape } from "./pod-shape.ts";
import { explainRefusal, type Refusal } from "./refusal.ts";

/** Shapes whose ranking is kept: those placed last. */
const RANKINGS = 128;

/** What every node is worth for one shape. */
interface Ranking {
  /** By row; -Infinity where the pod does not fit. */
  totals: Float64Array;
  /** Up to which change of the table this is true. */
  change: number;
}

/**
 * Decides where a pod goes; changes nothing. The same calls on the same table give the same answers.
 *
 * Every filter and capacity score looks at one node at a time, and between two pods of one shape few nodes change. So what each node is worth for a shape
 * is kept, only changed nodes are judged again, and a placement is one pass over an array for its maximum. For the same reason a shape that
 * was refused stays refused until some node improves (NodeTable.growth): the refusal is kept.
 */
export class Placer {
  readonly #nodes: NodeTable;
  readonly #policy: Policy;
  readonly #eligibility = new WeakMap<Constraints, Eligibility>();
  readonly #refusals = new WeakMap<PodShape, { readonly growth: number; readonly refusal: Refusal }>();
  /** Used longest ago first. */
  readonly #rankings = new Map<PodShape, Ranking>();
  #candidates = new Int32Array(64);
  #sums = new Float64Array(64);
  /** Rows met in this pass, by a number that no other pass has. */
  #met = new Int32Array(64);
  #pass = 0;
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
    const best = highest(this.#rank(pod).totals, this.#nodes.rows.length, this.#turn);
    const row = best === undefined ? undefined : this.#nodes.rows[best];
    if (row) {
      this.#turn++;
      return row;
    }
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

  #rank(pod: PodShape): Ranking {
    const nodes = this.#nodes;
    this.#enlarge(nodes.rows.length);
    const eligibility = this.#eligible(pod.constraints);
    eligibility.refresh(nodes);
    const kept = this.#rankings.get(pod);
    this.#rankings.delete(pod);
    const ranking = kept ?? { totals: new Float64Array(0), change: 0 };
    const missed = nodes.changeCount - ranking.change;
    // Static scores compare a node with all others, so that one change may touch every total.
    const isRated = eligibility.ratings.some((ratings) => ratings !== undefined);
    const isFresh = ranking.totals.length >= nodes.rows.length && nodes.remembersChange(ranking.change) && missed < nodes.rows.length;
    if (isFresh && !isRated) this.#judgeChanged(pod, eligibility, ranking);
    else this.#judgeAll(pod, eligibility, ranking);
    ranking.change = nodes.changeCount;
    this.#keep(pod, ranking);
    return ranking;
  }

  #judgeAll(pod: PodShape, eligibility: Eligibility, ranking: Ranking): void {
    const rowCount = this.#nodes.rows.length;
    if (ranking.totals.length < rowCount) ranking.totals = new Float64Array(rowCount * 2);
    ranking.totals.fill(Number.NEGATIVE_INFINITY, 0, rowCount);
    this.#candidates.set(eligibility.candidates.subarray(0, eligibility.count));
    const count = this.#judge(pod, eligibility.count);
    this.#addStaticScores(eligibility, count);
    this.#copySums(ranking, count);
  }

  #judgeChanged(pod: PodShape, eligibility: Eligibility, ranking: Ranking): void {
    const pass = ++this.#pass;
    let count = 0;
    for (let change = ranking.change; change < this.#nodes.changeCount; change++) {
      const index = this.#nodes.changedRow(change);
      if (this.#met[index] === pass) continue;
      this.#met[index] = pass;
      ranking.totals[index] = Number.NEGATIVE_INFINITY;
      if (eligibility.includes(this.#nodes, index)) this.#candidates[count++] = index;
    }
    this.#copySums(ranking, this.#judge(pod, count));
  }

  /** Leaves of the first `count` candidates those that can take the pod, with what they are worth in #sums. */
  #judge(pod: PodShape, count: number): number {
    const left = this.#narrow(pod, count);
    this.#sums.fill(0, 0, left);
    for (const score of this.#policy.capacityScores) score.add(pod, this.#nodes, this.#candidates, left, this.#sums);
    return left;
  }

  #narrow(pod: PodShape, count: number): number {
    let left = count;
    for (const filter of this.#policy.capacityFilters) {
      if (left === 0) break;
      left = filter.narrow(pod, this.#nodes, this.#candidates, left);
    }
    return left;
  }

  #copySums(ranking: Ranking, count: number): void {
    for (let i = 0; i < count; i++) ranking.totals[this.#candidates[i] ?? 0] = this.#sums[i] ?? 0;
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
        this.#sums[c] = (this.#sums[c] ?? 0) + scale * (score.best === "high" ? rating : max - rating);
      }
    }
  }

  #keep(pod: PodShape, ranking: Ranking): void {
    this.#rankings.set(pod, ranking);
    if (this.#rankings.size <= RANKINGS) return;
    for (const oldest of this.#rankings.keys()) {
      this.#rankings.delete(oldest);
      return;
    }
  }

  #enlarge(rowCount: number): void {
    if (this.#candidates.length >= rowCount) return;
    this.#candidates = new Int32Array(rowCount * 2);
    this.#sums = new Float64Array(rowCount * 2);
    this.#met = new Int32Array(rowCount * 2);
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

/** The position of the largest value; of equal ones the first from `turn` on, round the end. Undefined when all are -Infinity. */
function highest(totals: Float64Array, count: number, turn: number): number | undefined {
  if (count === 0) return undefined;
  const start = turn % count;
  let best: number | undefined;
  let bestTotal = Number.NEGATIVE_INFINITY;
  for (let i = start; i < count; i++) {
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

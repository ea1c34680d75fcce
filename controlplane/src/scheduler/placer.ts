import type { Constraints } from "./constraints.ts";
import { Eligibility } from "./eligibility.ts";
import type { NodeRow, NodeTable } from "./node-table.ts";
import { isClosed, narrowByBarriers } from "./peers/barriers.ts";
import type { Kin } from "./peers/selectable-pod.ts";
import type { Barrier, Policy } from "./plugin.ts";
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

/** Why there was no node, and what was the case then. */
interface KeptRefusal {
  readonly refusal: Refusal;
  /** Of the table. */
  readonly growth: number;
  /** Of the groups that the pod's rules are about, and of those that it belongs to. */
  readonly peers: number;
}

/**
 * Decides where a pod goes; changes nothing. The same calls on the same table give the same answers.
 *
 * Every filter and capacity score looks at one node at a time, and between two pods of one shape few nodes change. So what each node is worth for a shape
 * is kept, only changed nodes are judged again, and a placement is one pass over an array for its maximum. For the same reason a shape that
 * was refused stays refused until some node improves (NodeTable.growth): the refusal is kept.
 *
 * Rules about other pods are not like that: one pod may close or open whole domains. For pods that have such rules, or that other pods' rules speak of,
 * they are asked anew for each placement, on top of what is kept; they read sums by domain, so this is a few more passes over arrays.
 */
export class Placer {
  readonly #nodes: NodeTable;
  readonly #policy: Policy;
  readonly #eligibility = new WeakMap<Constraints, Eligibility>();
  readonly #refusals = new WeakMap<Kin, WeakMap<PodShape, KeptRefusal>>();
  /** Used longest ago first. */
  readonly #rankings = new Map<PodShape, Ranking>();
  #candidates = new Int32Array(64);
  #sums = new Float64Array(64);
  /** What nodes are worth in this pass when other pods were taken into account, by row. */
  #finals = new Float64Array(64);
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
  place(pod: PodShape, kin: Kin): NodeRow | Refusal {
    const known = this.#refusalOf(pod, kin);
    if (known) return known;
    const best = this.#best(pod, kin);
    const row = best === undefined ? undefined : this.#nodes.rows[best];
    if (row) {
      this.#turn++;
      return row;
    }
    const refusal = explainRefusal(pod, kin, this.#nodes, this.#policy);
    this.#keepRefusal(pod, kin, refusal);
    return refusal;
  }

  /** Whether one of these nodes could take the pod now. */
  fitsOneOf(pod: PodShape, kin: Kin, rows: Iterable<number>): boolean {
    const eligibility = this.#eligible(pod.constraints);
    let barriers: readonly Barrier[] | undefined;
    for (const row of rows) {
      if (!eligibility.includes(this.#nodes, row)) continue;
      this.#candidates[0] = row;
      if (this.#narrow(pod, 1) === 0) continue;
      barriers ??= isAmongPeers(pod, kin) ? this.#barriers(pod, kin) : [];
      if (!barriers.some((barrier) => isClosed(barrier, row))) return true;
    }
    return false;
  }

  /** Whether any node could take the pod now. */
  fitsSomewhere(pod: PodShape, kin: Kin): boolean {
    return this.#best(pod, kin) !== undefined;
  }

  #best(pod: PodShape, kin: Kin): number | undefined {
    const rowCount = this.#nodes.rows.length;
    if (!isAmongPeers(pod, kin)) return highest(this.#rank(pod, []).totals, rowCount, this.#turn);
    const barriers = this.#barriers(pod, kin);
    const { totals } = this.#rank(pod, barriers);
    let count = 0;
    for (let row = 0; row < rowCount; row++) if ((totals[row] ?? 0) > Number.NEGATIVE_INFINITY) this.#candidates[count++] = row;
    count = narrowByBarriers(barriers, this.#candidates, count);
    for (let i = 0; i < count; i++) this.#sums[i] = totals[this.#candidates[i] ?? 0] ?? 0;
    for (const score of this.#policy.peerScores) score.add(pod, kin, this.#nodes, this.#candidates, count, this.#sums);
    this.#finals.fill(Number.NEGATIVE_INFINITY, 0, rowCount);
    for (let i = 0; i < count; i++) this.#finals[this.#candidates[i] ?? 0] = this.#sums[i] ?? 0;
    return highest(this.#finals, rowCount, this.#turn);
  }

  #barriers(pod: PodShape, kin: Kin): Barrier[] {
    return this.#policy.peerFilters.flatMap((filter) => filter.barriers(pod, kin, this.#nodes));
  }

  #refusalOf(pod: PodShape, kin: Kin): Refusal | undefined {
    const known = this.#refusals.get(this.#decisiveKin(pod, kin))?.get(pod);
    return known?.growth === this.#nodes.growth && known.peers === peerVersion(pod, kin) ? known.refusal : undefined;
  }

  #keepRefusal(pod: PodShape, kin: Kin, refusal: Refusal): void {
    const decisive = this.#decisiveKin(pod, kin);
    const kept = { refusal, growth: this.#nodes.growth, peers: peerVersion(pod, kin) };
    const known = this.#refusals.get(decisive);
    if (known) known.set(pod, kept);
    else this.#refusals.set(decisive, new WeakMap([[pod, kept]]));
  }

  /** A pod without rules that nobody repels is refused for the same reasons whatever groups it belongs to. */
  #decisiveKin(pod: PodShape, kin: Kin): Kin {
    return pod.rules || kin.isRepelled ? kin : this.#nodes.peers.nobody;
  }

  /** `barriers` matter only where nodes are compared with each other, which is among those that can take the pod. */
  #rank(pod: PodShape, barriers: readonly Barrier[]): Ranking {
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
    else this.#judgeAll(pod, eligibility, ranking, isRated ? barriers : []);
    ranking.change = nodes.changeCount;
    this.#keep(pod, ranking);
    return ranking;
  }

  #judgeAll(pod: PodShape, eligibility: Eligibility, ranking: Ranking, barriers: readonly Barrier[]): void {
    const rowCount = this.#nodes.rows.length;
    if (ranking.totals.length < rowCount) ranking.totals = new Float64Array(rowCount * 2);
    ranking.totals.fill(Number.NEGATIVE_INFINITY, 0, rowCount);
    this.#candidates.set(eligibility.candidates.subarray(0, eligibility.count));
    const count = this.#judge(pod, narrowByBarriers(barriers, this.#candidates, eligibility.count));
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
    this.#finals = new Float64Array(rowCount * 2);
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

/** Whether any rule about other pods, the pod's own or theirs, may say something of it. */
function isAmongPeers(pod: PodShape, kin: Kin): boolean {
  return pod.rules !== undefined || kin.groups.length > 0;
}

/** Grows with every change of the groups that decide about the pod. */
function peerVersion(pod: PodShape, kin: Kin): number {
  let version = 0;
  if (pod.rules) for (const group of pod.rules.groups) version += group.version;
  if (pod.rules || kin.isRepelled) for (const group of kin.groups) version += group.version;
  return version;
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

import type { ContainerUsage, PodUsage, UsageReport } from "@tessera/proto/node";
import { rateBetween } from "./rate.ts";
import type { MeasuredContainer, MeasuredUsage, UsageSource } from "./usage.ts";

/** After so many intervals without a report, what a node said last says nothing about now. */
const STALE_INTERVALS = 3;
/** What agents say of their interval is believed within these bounds. */
const SHORTEST_INTERVAL_MS = 1_000;
const LONGEST_INTERVAL_MS = 300_000;

interface Sample {
  readonly report: UsageReport;
  readonly pods: ReadonlyMap<string, PodUsage>;
  readonly atMs: number;
  readonly staleAtMs: number;
}

interface NodeSamples {
  readonly newest: Sample;
  /** Undefined when there was none before, or none that was still fresh when the newest came. */
  readonly previous: Sample | undefined;
}

/** The last two reports of every node that reports, in memory: all that rates need. */
export class UsageStore implements UsageSource {
  readonly #now: () => number;
  /** In the order of their newest samples, oldest first. */
  readonly #nodes = new Map<string, NodeSamples>();

  constructor(dependencies: { now: () => number }) {
    this.#now = dependencies.now;
  }

  /** How many nodes have reported of late. */
  get size(): number {
    this.#forgetStale();
    return this.#nodes.size;
  }

  take(node: string, report: UsageReport): void {
    this.#forgetStale();
    const atMs = this.#now();
    const intervalMs = Math.min(Math.max(report.intervalMs, SHORTEST_INTERVAL_MS), LONGEST_INTERVAL_MS);
    const pods = new Map(report.pods.map((pod) => [pod.uid, pod]));
    const newest = { report, pods, atMs, staleAtMs: atMs + STALE_INTERVALS * intervalMs };
    const known = this.#fresh(node);
    // A report that comes soon after the one before (the agent was restarted) is measured against an older one: over a short while the
    // counters' own steps would show.
    const isEarly = known?.previous !== undefined && atMs - known.newest.atMs < intervalMs / 2;
    this.#nodes.delete(node);
    this.#nodes.set(node, { newest, previous: isEarly ? known.previous : known?.newest });
  }

  ofNode(node: string): MeasuredUsage | undefined {
    const samples = this.#fresh(node);
    const rate = samples && rateBetween(samples.previous?.report.node, samples.newest.report.node);
    return rate && { ...rate, atMs: samples.newest.atMs };
  }

  ofPod(node: string, uid: string): readonly MeasuredContainer[] | undefined {
    const samples = this.#fresh(node);
    if (samples?.previous === undefined) return undefined;
    const before = samples.previous.pods.get(uid)?.containers ?? [];
    const now = samples.newest.pods.get(uid)?.containers ?? [];
    const measured = now.flatMap((container) => measureContainer(before, container, samples.newest.atMs));
    return measured.length > 0 ? measured : undefined;
  }

  #fresh(node: string): NodeSamples | undefined {
    const samples = this.#nodes.get(node);
    return samples !== undefined && samples.newest.staleAtMs > this.#now() ? samples : undefined;
  }

  /** Looks at the oldest only: with intervals that differ a stale one may be kept for a while, but is never shown. */
  #forgetStale(): void {
    const nowMs = this.#now();
    for (const [node, { newest }] of this.#nodes) {
      if (newest.staleAtMs > nowMs) return;
      this.#nodes.delete(node);
    }
  }
}

function measureContainer(before: readonly ContainerUsage[], container: ContainerUsage, atMs: number): MeasuredContainer[] {
  const { name, attempt, usage } = container;
  // Another start has counters of its own, also when they are higher already.
  const earlier = before.find((one) => one.name === name && one.attempt === attempt);
  const rate = rateBetween(earlier?.usage, usage);
  return rate === undefined ? [] : [{ ...rate, name, atMs }];
}

import type { PodUsage, UsageReport } from "@tessera/proto/node";
import type { ContainerUsage, Runtime } from "@tessera/runtime-native";
import type { Logger } from "pino";
import type { Clock } from "../clock.ts";
import { attemptId } from "../pod/record.ts";

/** A container to look at. */
export interface RunningContainer {
  readonly podUid: string;
  readonly name: string;
  readonly attempt: number;
}

export interface UsageSamplerDependencies {
  readonly runtime: Pick<Runtime, "usage">;
  /** What runs now. */
  readonly running: () => readonly RunningContainer[];
  readonly readNode: () => Promise<ContainerUsage>;
  readonly send: (report: UsageReport) => void;
  readonly clock: Clock;
  readonly intervalMs: number;
  readonly log: Logger;
}

/**
 * Looks at an interval what the node and its containers have used, for as long as somebody hears it. All containers are read in one go, which
 * takes a worker thread for a moment and never the event loop.
 */
export class UsageSampler {
  readonly #deps: UsageSamplerDependencies;
  #cancelTimer: (() => void) | undefined;
  /** Counts up when sampling begins or ends: a round that finds another one has nothing to say any more. */
  #turn = 0;
  #round: Promise<void> = Promise.resolve();

  constructor(deps: UsageSamplerDependencies) {
    this.#deps = deps;
  }

  /** Takes a first sample at once, and then one at each interval. */
  start(): void {
    this.#cancel();
    const turn = this.#turn;
    // A round of the time before may still be under way.
    this.#round = this.#round.then(() => this.#sample(turn));
  }

  /** Resolves when no sample is being taken. */
  async stop(): Promise<void> {
    this.#cancel();
    await this.#round;
  }

  #cancel(): void {
    this.#turn++;
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
  }

  async #sample(turn: number): Promise<void> {
    const { clock, intervalMs, send } = this.#deps;
    if (turn !== this.#turn) return;
    const startedAtMs = clock.now();
    const report = await this.#read(turn);
    if (turn !== this.#turn) return;
    if (report !== undefined) send(report);
    this.#cancelTimer = clock.wakeAt(startedAtMs + intervalMs, () => {
      this.#round = this.#sample(turn);
    });
  }

  /** Undefined when the node cannot be read, or nobody wants the sample any more. */
  async #read(turn: number): Promise<UsageReport | undefined> {
    const { runtime, running, readNode, intervalMs, log } = this.#deps;
    try {
      const node = await readNode();
      if (turn !== this.#turn) return undefined;
      const containers = running();
      const ids = containers.map(({ podUid, name, attempt }) => ({ sandbox: podUid, container: attemptId(name, attempt) }));
      const usages = await runtime.usage(ids);
      const failures = usages.filter((usage) => usage instanceof Error);
      if (failures.length > 0) log.warn({ err: failures[0], containers: failures.length }, "what containers use cannot be read");
      return { intervalMs, node, pods: byPod(containers, usages) };
    } catch (error) {
      log.warn({ err: error }, "what the node uses cannot be read");
      return undefined;
    }
  }
}

/** Better without one container than without all. */
function byPod(containers: readonly RunningContainer[], usages: readonly (ContainerUsage | Error | undefined)[]): PodUsage[] {
  const pods = new Map<string, PodUsage>();
  for (const [index, { podUid, name, attempt }] of containers.entries()) {
    const usage = usages[index];
    if (usage === undefined || usage instanceof Error) continue;
    const pod = pods.get(podUid) ?? { uid: podUid, containers: [] };
    pod.containers.push({ name, attempt, usage });
    pods.set(podUid, pod);
  }
  return [...pods.values()];
}

import type { ContainerUsage as ContainerUsageMessage, PodUsage, Usage, UsageReport } from "@tessera/proto/node";
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
  /** Nanoseconds since the boot, by a clock that nobody sets. */
  readonly uptimeNs: () => bigint;
  readonly intervalMs: number;
  readonly log: Logger;
}

/**
 * Looks at an interval what the node and its containers have used, for as long as somebody hears it. Containers are read one after the other,
 * each by one native call, so that a full node costs one worker thread for a moment and never the event loop.
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
    const { running, readNode, intervalMs, log } = this.#deps;
    try {
      const node = this.#stamp(await readNode());
      const pods = new Map<string, PodUsage>();
      const failures: unknown[] = [];
      for (const container of running()) {
        if (turn !== this.#turn) return undefined;
        // Better without one container than without all.
        const read = await this.#readContainer(container).catch((error) => void failures.push(error));
        if (read === undefined) continue;
        const pod = pods.get(container.podUid) ?? { uid: container.podUid, containers: [] };
        pod.containers.push(read);
        pods.set(container.podUid, pod);
      }
      if (failures.length > 0) log.warn({ err: failures[0], containers: failures.length }, "what containers use cannot be read");
      return { intervalMs, node, pods: [...pods.values()] };
    } catch (error) {
      log.warn({ err: error }, "what the node uses cannot be read");
      return undefined;
    }
  }

  async #readContainer({ podUid, name, attempt }: RunningContainer): Promise<ContainerUsageMessage | undefined> {
    const usage = await this.#deps.runtime.usage(podUid, attemptId(name, attempt));
    return usage && { name, attempt, usage: this.#stamp(usage) };
  }

  #stamp({ cpuNs, memoryWorkingSetBytes }: ContainerUsage): Usage {
    return {
      timeNs: this.#deps.uptimeNs(),
      cpuNs: BigInt(Math.round(cpuNs)),
      memoryWorkingSetBytes: BigInt(Math.round(memoryWorkingSetBytes)),
    };
  }
}

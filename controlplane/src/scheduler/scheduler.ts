import type { Logger } from "pino";
import type { Clock } from "../controllers/clock.ts";
import type { ControlLoop } from "../controllers/control-loop.ts";
import type { EventSink } from "../events/events.ts";
import type { Registry } from "../registry/resource.ts";

export interface SchedulerDependencies {
  readonly registry: Pick<Registry, "pods" | "nodes">;
  readonly events: EventSink;
  readonly log: Logger;
  readonly clock: Clock;
}

/** Gives every pod of the default scheduler a node. */
export class Scheduler implements ControlLoop {
  readonly name = "scheduler";
  readonly #deps: SchedulerDependencies;
  constructor(deps: SchedulerDependencies) {
    this.#deps = deps;
  }

  async run(signal: AbortSignal, ready?: () => void): Promise<void> {
    ready?.();
    this.#deps.log.debug("scheduler runs");
    await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
  }
}

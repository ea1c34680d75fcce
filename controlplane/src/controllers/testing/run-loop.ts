import type { TestContext } from "node:test";
import type { ControlLoop } from "../control-loop.ts";
import type { ControllerDependencies } from "../dependencies.ts";
import { ManualClock, RecordedEvents, silentLog } from "./fakes.ts";
import { MemoryRegistry } from "./memory-registry.ts";

export interface LoopUnderTest {
  readonly registry: MemoryRegistry;
  readonly clock: ManualClock;
  readonly events: RecordedEvents;
  /** Runs the controller until the test ends; called again: as after a restart, with the first one still there. */
  start(): void;
}

/** A controller on a registry without etcd and a clock that stands still. */
export function prepareLoop(t: TestContext, create: (deps: ControllerDependencies) => ControlLoop): LoopUnderTest {
  const registry = new MemoryRegistry();
  const clock = new ManualClock();
  const events = new RecordedEvents();
  const start = (): void => {
    const stop = new AbortController();
    const running = create({ registry, clock, events, log: silentLog, clusterCaPem: "PEM" }).run(stop.signal);
    t.after(async () => {
      stop.abort();
      await running;
    });
  };
  return { registry, clock, events, start };
}

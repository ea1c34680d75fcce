import type { PodWorker } from "../pod/worker.ts";
import type { RunningContainer } from "./usage-sampler.ts";

/** Every container of these pods that runs now, init containers and sidecars included. */
export function runningContainers(pods: readonly Pick<PodWorker, "want" | "state">[]): RunningContainer[] {
  return pods.flatMap(({ want, state }) =>
    Object.entries(state.record.containers)
      .filter(([name]) => state.isRunning(name))
      .map(([name, { attempt }]) => ({ podUid: want.uid, name, attempt })),
  );
}

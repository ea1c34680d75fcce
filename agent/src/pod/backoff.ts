import type { ContainerExit } from "./record.ts";

/** Kubernetes' delays between restarts of a container: the first restart is immediate, then 10 s, doubled up to 5 minutes. */
const FIRST_RESTART_MS = 10_000;
const LONGEST_RESTART_MS = 300_000;
/** A container that ran so long starts afresh. */
const FORGIVEN_AFTER_MS = 600_000;

/** When a container that exited may start again, given the delay it has earned so far. */
export function restartAtMs(exit: ContainerExit, backoffMs: number): number {
  return exit.finishedAtMs + (isForgiven(exit) ? 0 : backoffMs);
}

/** The delay that the attempt after `exit` earns, should it exit too. */
export function nextBackoffMs(exit: ContainerExit, backoffMs: number): number {
  if (backoffMs === 0 || isForgiven(exit)) return FIRST_RESTART_MS;
  return Math.min(2 * backoffMs, LONGEST_RESTART_MS);
}

function isForgiven(exit: ContainerExit): boolean {
  return exit.startedAtMs > 0 && exit.finishedAtMs - exit.startedAtMs > FORGIVEN_AFTER_MS;
}

/** Delay before the n-th retry (from 1) of a step that failed: doubled from `firstMs` up to `longestMs`. */
export function retryDelayMs(failures: number, firstMs: number, longestMs: number): number {
  return Math.min(firstMs * 2 ** Math.min(failures - 1, 20), longestMs);
}

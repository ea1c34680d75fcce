import type { NativeLibrary } from "@tessera/runtime-native";
import type { Logger } from "pino";
import type { Clock } from "./clock.ts";

/** So long after it is ready an agent has dialled, synchronized and found its pods again. */
const SETTLED_AFTER_MS = 5000;

export interface StartMemoryDependencies {
  readonly library: Pick<NativeLibrary, "releaseMemory">;
  readonly clock: Clock;
  readonly log: Pick<Logger, "warn">;
}

/**
 * Gives back, as soon as an agent has settled, what only its start has needed: two thirds of the pages of the Node.js program among it, which
 * count as the agent's as long as it maps them (docs/decisions/0046-start-memory.md). Once and never again, so that what the agent's work needs
 * stays where it is. Nothing comes of it when the signal is aborted before.
 */
export function releaseStartMemory({ library, clock, log }: StartMemoryDependencies, signal: AbortSignal): void {
  const cancel = clock.wakeAt(clock.now() + SETTLED_AFTER_MS, () => {
    signal.removeEventListener("abort", cancel);
    library.releaseMemory().catch((error: unknown) => log.warn({ err: error }, "memory of the start could not be given back"));
  });
  signal.addEventListener("abort", cancel, { once: true });
}

import { setTimeout as delay } from "node:timers/promises";

export interface WaitOptions {
  readonly deadlineMs: number;
  /** Time between two looks at something that cannot tell us that it changed. */
  readonly everyMs?: number;
  readonly signal?: AbortSignal;
}

/**
 * Looks until `look` returns something, and at least once; undefined when the deadline passed first. For what has no event to
 * wait for, such as processes that are not our children.
 */
export async function waitFor<T>(look: () => Promise<T | undefined> | T | undefined, options: WaitOptions): Promise<T | undefined> {
  const end = performance.now() + options.deadlineMs;
  for (;;) {
    options.signal?.throwIfAborted();
    const seen = await look();
    if (seen !== undefined) return seen;
    if (performance.now() >= end) return undefined;
    await delay(options.everyMs ?? 20, undefined, { signal: options.signal });
  }
}

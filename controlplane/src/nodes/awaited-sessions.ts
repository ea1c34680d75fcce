import type { Clock } from "../controllers/clock.ts";

/** Who wants something of a node whose agent is not back yet: after a restart of either end its session is a matter of moments. */
export class AwaitedSessions {
  readonly #clock: Clock;
  readonly #waiters = new Map<string, Set<() => void>>();

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Resolves when a session of the node has begun, or after `timeoutMs`; rejects when the signal is aborted. */
  async wait(node: string, timeoutMs: number, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (timeoutMs <= 0) return;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiting = this.#waiters.get(node) ?? new Set();
    this.#waiters.set(node, waiting.add(resolve));
    const cancelTimer = this.#clock.after(timeoutMs, resolve);
    const abort = (): void => reject(signal.reason);
    signal.addEventListener("abort", abort, { once: true });
    try {
      await promise;
    } finally {
      cancelTimer();
      signal.removeEventListener("abort", abort);
      waiting.delete(resolve);
      if (waiting.size === 0 && this.#waiters.get(node) === waiting) this.#waiters.delete(node);
    }
  }

  /** The node's session has begun. */
  begun(node: string): void {
    for (const resolve of this.#waiters.get(node) ?? []) resolve();
  }
}

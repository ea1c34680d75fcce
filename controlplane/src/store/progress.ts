import { TesseraError } from "@tessera/proto";

interface Waiter {
  readonly revision: number;
  readonly resolve: () => void;
}

/** How far the cache has come, and who waits for it to come further. */
export class Progress {
  /** Called when somebody has waited for long enough that the change awaited may be one that no watch tells of. */
  readonly #onLate: () => void;
  readonly #waiters = new Set<Waiter>();
  #revision = 0;

  constructor(onLate: () => void) {
    this.#onLate = onLate;
  }

  get revision(): number {
    return this.#revision;
  }

  moveTo(revision: number): void {
    this.#revision = revision;
    for (const waiter of this.#waiters) {
      if (waiter.revision <= revision) waiter.resolve();
    }
  }

  async waitFor(revision: number, options: { timeoutMs?: number; signal?: AbortSignal } = {}): Promise<void> {
    if (this.#revision >= revision) return;
    const { timeoutMs = 3_000, signal } = options;
    signal?.throwIfAborted();
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiter: Waiter = { revision, resolve };
    this.#waiters.add(waiter);
    const expired = (): void =>
      reject(new TesseraError("Timeout", `the cache is at ${this.#revision} and has not come to ${revision} within ${timeoutMs} ms`));
    const timers = [setTimeout(this.#onLate, lateMs), ...(Number.isFinite(timeoutMs) ? [setTimeout(expired, timeoutMs)] : [])];
    const abort = (): void => reject(signal?.reason);
    signal?.addEventListener("abort", abort, { once: true });
    try {
      await promise;
    } finally {
      this.#waiters.delete(waiter);
      for (const timer of timers) clearTimeout(timer);
      signal?.removeEventListener("abort", abort);
    }
  }
}

const lateMs = 250;

import { isCancellation } from "@tessera/proto";
import type { Logger } from "pino";
import type { Clock } from "./clock.ts";
import { Limiter } from "./limiter.ts";

const FIRST_DELAY_MS = 100;
const LONGEST_DELAY_MS = 30_000;

export interface WorkQueueDependencies {
  readonly name: string;
  readonly clock: Clock;
  readonly log: Logger;
  /**
   * Looks at what is and at what should be, and brings them together. Returns after how many milliseconds to look again, or nothing. When it throws it
   * is called again after a while that doubles with every failure in a row.
   */
  readonly reconcile: (key: string, signal: AbortSignal) => Promise<number | undefined>;
  /** Keys that are worked on side by side, default 16. */
  readonly concurrency?: number;
}

interface Key {
  /** Wanted again while it is being worked on. */
  again: boolean;
  working: boolean;
  queued: boolean;
  failures: number;
  timer: { readonly at: number; readonly cancel: () => void } | undefined;
}

/**
 * Keys that somebody should look at. An event only adds a key; a key that is added a thousand times is looked at once, and never twice at the same
 * time. Its size is bounded by the number of different keys.
 */
export class WorkQueue {
  readonly #deps: WorkQueueDependencies;
  readonly #keys = new Map<string, Key>();
  readonly #workers: Limiter;
  #signal: AbortSignal | undefined;
  constructor(deps: WorkQueueDependencies) {
    this.#deps = deps;
    this.#workers = new Limiter(deps.concurrency ?? 16);
  }

  /** Look at it now. */
  add(key: string): void {
    const state = this.#state(key);
    state.timer?.cancel();
    state.timer = undefined;
    if (state.working) state.again = true;
    else this.#start(key, state);
  }

  /** Look at it in a while, or sooner if that was planned already. */
  addAfter(key: string, delayMs: number): void {
    if (delayMs <= 0) {
      this.add(key);
      return;
    }
    const state = this.#state(key);
    const at = this.#deps.clock.now() + delayMs;
    if (state.again || state.queued || (state.timer && state.timer.at <= at)) return;
    state.timer?.cancel();
    state.timer = { at, cancel: this.#deps.clock.after(delayMs, () => this.add(key)) };
  }

  /** Keys that wait or are worked on. */
  get size(): number {
    return this.#keys.size;
  }

  /** Works until aborted; keys may be added before. Resolves when no work is under way. */
  async run(signal: AbortSignal): Promise<void> {
    this.#signal = signal;
    if (!signal.aborted) {
      for (const [key, state] of this.#keys) if (state.queued) this.#dispatch(key, state);
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
    }
    for (const state of this.#keys.values()) state.timer?.cancel();
    await this.#workers.drain();
  }

  #state(key: string): Key {
    let state = this.#keys.get(key);
    if (!state) {
      state = { again: false, working: false, queued: false, failures: 0, timer: undefined };
      this.#keys.set(key, state);
    }
    return state;
  }

  #start(key: string, state: Key): void {
    if (state.queued) return;
    state.queued = true;
    if (this.#signal && !this.#signal.aborted) this.#dispatch(key, state);
  }

  #dispatch(key: string, state: Key): void {
    const signal = this.#signal;
    if (!signal) return;
    this.#workers.run(async () => {
      state.queued = false;
      state.working = true;
      const delayMs = await this.#look(key, state, signal);
      state.working = false;
      if (signal.aborted) return;
      if (state.again) {
        state.again = false;
        this.#start(key, state);
      } else if (delayMs !== undefined) this.addAfter(key, delayMs);
      else if (!state.timer) this.#keys.delete(key);
    });
  }

  async #look(key: string, state: Key, signal: AbortSignal): Promise<number | undefined> {
    try {
      const again = await this.#deps.reconcile(key, signal);
      state.failures = 0;
      return again;
    } catch (error) {
      const delayMs = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(state.failures++, 20));
      if (!(signal.aborted && isCancellation(error))) {
        this.#deps.log.warn({ err: error, loop: this.#deps.name, key, delayMs }, "failed, will try again");
      }
      return delayMs;
    }
  }
}

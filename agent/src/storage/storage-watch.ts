import type { Clock } from "../clock.ts";
import { retryDelayMs } from "../pod/backoff.ts";
import { findExcess } from "./limits.ts";
import type { PodStorage } from "./pod-storage.ts";

/** Most of what is too much comes soon after the start. */
const FIRST_CHECK_MS = 1_000;
const LONGEST_CHECK_MS = 10_000;
/** Counting takes at most one part in so many of the time. */
const CHECK_SHARE = 20;

export interface StorageWatchDependencies {
  readonly clock: Clock;
  /** The pod has outgrown a limit; the message is the one that people know. Told once. */
  readonly onExceeded: (message: string) => void;
  readonly onError: (error: unknown) => void;
}

/** Looks now and then at what a pod with limits has written, for nothing tells when a folder grows. */
export class StorageWatch {
  readonly #deps: StorageWatchDependencies;
  #storage: PodStorage | undefined;
  #checks = 0;
  #cancelTimer: (() => void) | undefined;
  #checking: AbortController | undefined;

  constructor(deps: StorageWatchDependencies) {
    this.#deps = deps;
  }

  /** This is to be looked at from now on; undefined ends it. */
  follow(storage: PodStorage | undefined): void {
    this.#storage = storage;
    if (storage === undefined) this.stop();
    else if (this.#cancelTimer === undefined && this.#checking === undefined) this.#checkAfter(0);
  }

  stop(): void {
    this.#storage = undefined;
    this.#cancelTimer?.();
    this.#cancelTimer = undefined;
    this.#checking?.abort();
    this.#checking = undefined;
  }

  #checkAfter(tookMs: number): void {
    const { clock } = this.#deps;
    this.#checks += 1;
    const delayMs = Math.max(retryDelayMs(this.#checks, FIRST_CHECK_MS, LONGEST_CHECK_MS), tookMs * CHECK_SHARE);
    this.#cancelTimer = clock.wakeAt(clock.now() + delayMs, () => {
      this.#cancelTimer = undefined;
      void this.#check();
    });
  }

  async #check(): Promise<void> {
    const storage = this.#storage;
    if (storage === undefined) return;
    const checking = new AbortController();
    this.#checking = checking;
    const startedAtMs = performance.now();
    try {
      const excess = await findExcess(storage, checking.signal);
      if (checking.signal.aborted) return;
      if (excess !== undefined) {
        this.stop();
        this.#deps.onExceeded(excess);
        return;
      }
    } catch (error) {
      if (checking.signal.aborted) return;
      this.#deps.onError(error);
    }
    this.#checking = undefined;
    this.#checkAfter(performance.now() - startedAtMs);
  }
}

import type { Clock } from "../clock.ts";

/** A container that has said nothing for so long has said what it had to say. */
const SILENCE_MS = 1_000;
/** One that never falls silent is not listened to for longer. */
const PATIENCE_MS = 10_000;

/**
 * When a session is over whose client has sent its last input to a container that goes on without it: nobody can tell the end of the answer to that
 * input, so the session lasts until the container falls silent, or for a bounded time.
 */
export class LastAnswer {
  readonly over: Promise<void>;
  readonly #clock: Clock;
  readonly #end: () => void;
  #endsAtMs: number | undefined;
  #cancelTimer: (() => void) | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.over = promise;
    this.#end = resolve;
  }

  /** The last input has been sent. */
  begin(): void {
    this.#endsAtMs = this.#clock.now() + PATIENCE_MS;
    this.heard();
  }

  /** The container has said something. */
  heard(): void {
    if (this.#endsAtMs === undefined) return;
    this.#cancelTimer?.();
    this.#cancelTimer = this.#clock.wakeAt(Math.min(this.#clock.now() + SILENCE_MS, this.#endsAtMs), this.#end);
  }

  stop(): void {
    this.#cancelTimer?.();
  }
}

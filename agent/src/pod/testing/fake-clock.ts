import type { Clock } from "../../clock.ts";

/** Time that stands still until a test moves it. */
export class FakeClock implements Clock {
  #now: number;
  #timers: { atMs: number; wake: () => void }[] = [];

  constructor(startMs = Date.parse("2026-01-02T03:04:05Z")) {
    this.#now = startMs;
  }

  now(): number {
    return this.#now;
  }

  wakeAt(atMs: number, wake: () => void): () => void {
    const timer = { atMs, wake };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((one) => one !== timer);
    };
  }

  /** Moves on, waking on the way whoever is due. */
  advance(ms: number): void {
    const endMs = this.#now + ms;
    for (;;) {
      const due = this.#timers.filter((timer) => timer.atMs <= endMs).sort((a, b) => a.atMs - b.atMs)[0];
      if (due === undefined) break;
      this.#timers = this.#timers.filter((timer) => timer !== due);
      this.#now = Math.max(this.#now, due.atMs);
      due.wake();
    }
    this.#now = endMs;
  }
}

import { type Logger, pino } from "pino";
import type { EventRecord, EventSink } from "../../events/events.ts";
import type { Clock } from "../clock.ts";

/** A clock that moves only when told. */
export class ManualClock implements Clock {
  #now: number;
  #timers: { readonly at: number; readonly wake: () => void }[] = [];
  constructor(now = Date.parse("2030-01-01T00:00:00Z")) {
    this.#now = now;
  }

  now(): number {
    return this.#now;
  }

  after(delayMs: number, wake: () => void): () => void {
    const timer = { at: this.#now + delayMs, wake };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  /** Milliseconds until each timer, soonest first. */
  get pending(): number[] {
    return this.#timers.map((timer) => timer.at - this.#now).sort((a, b) => a - b);
  }

  advance(ms: number): void {
    const until = this.#now + ms;
    for (;;) {
      const due = this.#timers.filter((timer) => timer.at <= until).sort((a, b) => a.at - b.at)[0];
      if (!due) break;
      this.#timers = this.#timers.filter((timer) => timer !== due);
      this.#now = Math.max(this.#now, due.at);
      due.wake();
    }
    this.#now = until;
  }
}

export class RecordedEvents implements EventSink {
  readonly records: EventRecord[] = [];
  record(event: EventRecord): void {
    this.records.push(event);
  }

  messages(reason: string): string[] {
    return this.records.filter((event) => event.reason === reason).map((event) => event.message);
  }
}

export const silentLog: Logger = pino({ level: "silent" });

/** Resolves when the claim holds; looks after every turn of the event loop. Rejects with the claim's text when it does not come true in time. */
export async function eventually(claim: string, holds: () => boolean | Promise<boolean>, timeoutMs = 30_000): Promise<void> {
  const deadline = performance.now() + timeoutMs;
  while (!(await holds())) {
    if (performance.now() > deadline) throw new Error(`did not come true within ${timeoutMs} ms: ${claim}`);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

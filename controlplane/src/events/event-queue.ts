import { firstOccurrence, type Occurrences, type StoredEvent } from "./event-object.ts";
import type { EventRecord } from "./events.ts";

/** Events that wait to be stored: bounded in number, repeated ones folded. */
export class EventQueue {
  readonly #limit: number;
  #waiting = new Map<string, Occurrences>();
  #dropped = 0;
  #wake: () => void = () => {};

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Returns false when the queue is full and the event had to be dropped. */
  push(record: EventRecord): boolean {
    const occurrences = firstOccurrence(record);
    const waiting = this.#waiting.get(occurrences.subject);
    if (waiting !== undefined) {
      waiting.count++;
      waiting.lastTimeMs = Math.max(waiting.lastTimeMs, record.timeMs);
    } else if (this.#waiting.size < this.#limit) this.#waiting.set(occurrences.subject, occurrences);
    else {
      this.#dropped++;
      return false;
    }
    this.#wake();
    return true;
  }

  /** In the order of the first occurrences. What is taken is no longer folded into. */
  take(max: number): Occurrences[] {
    const taken: Occurrences[] = [];
    for (const [subject, occurrences] of this.#waiting) {
      if (taken.length === max) break;
      taken.push(occurrences);
      this.#waiting.delete(subject);
    }
    return taken;
  }

  /** How many were dropped since the last call. */
  takeDropped(): number {
    const dropped = this.#dropped;
    this.#dropped = 0;
    return dropped;
  }

  /** Resolves when something waits, or when aborted. */
  async wait(signal: AbortSignal): Promise<void> {
    if (this.#waiting.size > 0 || signal.aborted) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#wake = resolve;
    signal.addEventListener("abort", resolve as () => void, { once: true });
    await promise;
    signal.removeEventListener("abort", resolve as () => void);
    this.#wake = () => {};
  }
}

/** The last state of recent Events, so that what happens again need not be looked up. */
export class KnownEvents {
  readonly #limit: number;
  readonly #bySubject = new Map<string, StoredEvent>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  get(subject: string): StoredEvent | undefined {
    return this.#bySubject.get(subject);
  }

  set(subject: string, stored: StoredEvent): void {
    // Least recently used first.
    this.#bySubject.delete(subject);
    this.#bySubject.set(subject, stored);
    if (this.#bySubject.size <= this.#limit) return;
    const [oldest] = this.#bySubject.keys();
    if (oldest !== undefined) this.#bySubject.delete(oldest);
  }

  delete(subject: string): void {
    this.#bySubject.delete(subject);
  }
}

import { TesseraError } from "@tessera/proto";
import type { CacheEvent } from "./cache.ts";
import { isObjectVersion } from "./revision.ts";

export interface HistoryLimits {
  readonly events: number;
  readonly bytes: number;
}

/**
 * The last changes of one resource, in order. Watchers read it at their own pace, each with a position of its own, so that a slow one costs
 * nothing; the history that passes it by ends it.
 */
export class EventHistory<T> {
  readonly #limits: HistoryLimits;
  #events: CacheEvent<T>[] = [];
  /** Position of `#events[0]`; positions are never used again. */
  #first = 0;
  #bytes = 0;
  /** All changes after this version are held. */
  #completeAfter = Number.POSITIVE_INFINITY;

  constructor(limits: HistoryLimits) {
    this.#limits = limits;
  }

  /** Changes up to `version` are not told: new readers must begin there or later. What is held stays for those who read already. */
  beginAt(version: number): void {
    this.#completeAfter = version;
  }

  /** Ends all readers. */
  clear(): void {
    // One position more than was held, so that readers who have read all are left behind too.
    this.#first += this.#events.length + 1;
    this.#events = [];
    this.#bytes = 0;
  }

  push(event: CacheEvent<T>): void {
    this.#events.push(event);
    this.#bytes += event.object.bytes.length;
    if (this.#events.length > this.#limits.events || this.#bytes > this.#limits.bytes) this.#forget();
  }

  /**
   * Where a reader begins who has seen everything up to `version`. The version of a single object says only that the reader has seen that
   * object: when others were changed together with it, the reader begins with them. Throws "Expired".
   */
  positionAfter(version: number): number {
    if (version < this.#completeAfter) {
      const oldest = Number.isFinite(this.#completeAfter) ? this.#completeAfter : "none";
      throw new TesseraError("Expired", `too old resource version: ${version} (${oldest}): list again and watch from there`);
    }
    const from = this.#indexOf(version);
    const to = this.#indexOf(version + 1);
    const changedTogether = isObjectVersion(version) && to - from > 1;
    return this.#first + (changedTogether ? from : to);
  }

  /** At most `limit` events from a position on. Throws "Expired" when they are held no longer. */
  read(position: number, limit: number): readonly CacheEvent<T>[] {
    const index = position - this.#first;
    if (index < 0) throw new TesseraError("Expired", "the watch has fallen too far behind: list again and watch from there");
    return this.#events.slice(index, index + limit);
  }

  /** Forgets the oldest eighth at once, since taking from the front of an array costs its length. */
  #forget(): void {
    const events = this.#events;
    const wanted = { events: this.#limits.events * 0.875, bytes: this.#limits.bytes * 0.875 };
    let count = 0;
    while (count < events.length && (events.length - count > wanted.events || this.#bytes > wanted.bytes)) {
      const { object } = events[count] as CacheEvent<T>;
      this.#bytes -= object.bytes.length;
      this.#completeAfter = Math.max(this.#completeAfter, object.revision + 1);
      count++;
      // What was changed together goes together.
      while (events[count]?.object.revision === object.revision) {
        this.#bytes -= (events[count] as CacheEvent<T>).object.bytes.length;
        count++;
      }
    }
    this.#events = events.slice(count);
    this.#first += count;
  }

  /** Of the first event at `version` or later. */
  #indexOf(version: number): number {
    let [low, high] = [0, this.#events.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((this.#events[middle] as CacheEvent<T>).object.revision < version) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}

/** Work under way, and how many wait for it. */
interface Flight<T> {
  readonly done: Promise<T>;
  readonly cancel: AbortController;
  waiting: number;
}

/** Lets those who want the same thing at the same time share one piece of work, which ends early only when nobody waits any more. */
export class SharedWork<T> {
  readonly #flights = new Map<string, Flight<T>>();

  /** Joins the work called `key`, or begins it. An aborted `signal` ends this wait; the others' go on. */
  async run(key: string, signal: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    signal.throwIfAborted();
    const flight = this.#flights.get(key) ?? this.#begin(key, work);
    flight.waiting++;
    const left = Promise.withResolvers<never>();
    const leave = () => left.reject(signal.reason);
    signal.addEventListener("abort", leave, { once: true });
    try {
      return await Promise.race([flight.done, left.promise]);
    } finally {
      signal.removeEventListener("abort", leave);
      if (--flight.waiting === 0) {
        // Who comes from here on must not join what is being given up.
        if (this.#flights.get(key) === flight) this.#flights.delete(key);
        flight.cancel.abort();
      }
    }
  }

  #begin(key: string, work: (signal: AbortSignal) => Promise<T>): Flight<T> {
    const cancel = new AbortController();
    const done = work(cancel.signal).finally(() => {
      if (this.#flights.get(key) === flight) this.#flights.delete(key);
    });
    // When everybody has left, nobody is there to hear of its failure.
    done.catch(() => undefined);
    const flight: Flight<T> = { done, cancel, waiting: 0 };
    this.#flights.set(key, flight);
    return flight;
  }
}

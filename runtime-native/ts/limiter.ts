import { RuntimeError } from "./runtime.ts";

/** More would wait for seconds: then something is wrong that a longer queue only hides. */
const mostWaiting = 10_000;

/**
 * Lets so many calls run at once; the others wait in order, and beyond 10,000 they are refused. Native calls run on libuv's few threads, which the file
 * system needs as well, and koffi refuses calls beyond a number instead of queueing them.
 */
export class Limiter {
  readonly #atOnce: number;
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(atOnce: number) {
    this.#atOnce = atOnce;
  }

  /** Calls `start` when there is a place, perhaps at once; whoever got one gives it back by `leave`. Throws when too many wait already. */
  enter(start: () => void): void {
    if (this.#waiting.length >= mostWaiting)
      throw new RuntimeError("Internal", `${mostWaiting} native calls wait already`, { step: "wait for a worker thread" });
    if (this.#running >= this.#atOnce) {
      this.#waiting.push(start);
      return;
    }
    this.#running++;
    start();
  }

  /** The place is handed on, not given up: a newcomer cannot overtake those who wait. */
  leave(): void {
    const next = this.#waiting.shift();
    if (next) next();
    else this.#running--;
  }

  run<T>(work: () => Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.enter(() => {
        new Promise<T>((settle) => settle(work())).finally(() => this.leave()).then(resolve, reject);
      });
    });
  }
}

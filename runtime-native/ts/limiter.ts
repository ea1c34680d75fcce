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

  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#waiting.length >= mostWaiting)
      throw new RuntimeError("Internal", `${mostWaiting} native calls wait already`, { step: "wait for a worker thread" });
    if (this.#running >= this.#atOnce) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#running++;
    try {
      return await work();
    } finally {
      // The place is handed on, not given up: a newcomer cannot overtake those who wait.
      const next = this.#waiting.shift();
      if (next) next();
      else this.#running--;
    }
  }
}

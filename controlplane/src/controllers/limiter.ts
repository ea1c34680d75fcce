/** Lets a number of tasks run side by side; the others wait in line. The line's bound is the caller's. */
export class Limiter {
  readonly #limit: number;
  readonly #line: (() => void)[] = [];
  #running = 0;
  #whenIdle: (() => void)[] = [];
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** Starts the task now or later. It must not reject. */
  run(task: () => Promise<void>): void {
    if (this.#running >= this.#limit) {
      this.#line.push(() => this.run(task));
      return;
    }
    this.#running++;
    void task().finally(() => {
      this.#running--;
      this.#line.shift()?.();
      if (this.#running === 0) for (const resolve of this.#whenIdle.splice(0)) resolve();
    });
  }

  /** Forgets who waits in line and resolves when nothing runs. */
  async drain(): Promise<void> {
    this.#line.length = 0;
    if (this.#running > 0) await new Promise<void>((resolve) => this.#whenIdle.push(resolve));
  }
}

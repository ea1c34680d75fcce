import type { Clock } from "./clock.ts";
import type { Output } from "./output.ts";

/** Tells the steps of something long on stderr: each as one line with the time it took; on a terminal it shows while it lasts. */
export class StepProgress {
  readonly #err: Output;
  readonly #clock: Clock;
  #current: { readonly text: string; readonly since: number } | undefined;

  constructor(deps: { readonly err: Output; readonly clock: Clock }) {
    this.#err = deps.err;
    this.#clock = deps.clock;
  }

  step(text: string): void {
    this.#finish();
    this.#current = { text, since: this.#clock.now() };
    if (this.#err.isTerminal) void this.#err.write(`  ${text} ...`);
  }

  note(text: string): void {
    this.#finish();
    void this.#err.write(`  ${text}\n`);
  }

  /** Ends the last step. */
  end(): void {
    this.#finish();
  }

  #finish(): void {
    if (this.#current === undefined) return;
    const { text, since } = this.#current;
    this.#current = undefined;
    const seconds = ((this.#clock.now() - since) / 1000).toFixed(1);
    void this.#err.write(`${this.#err.isTerminal ? "\r" : ""}  ${text}: ${seconds} s\n`);
  }
}

import type { NativeLibrary } from "./native-library.ts";
import type { RuntimeLog } from "./sandboxes.ts";

/** A file system's blocks wait some 30 seconds to be written. */
const roundMs = 10_000;

/** Sees to it that the cgroups of ended pods, which are only set aside at first, go one by one. Nothing happens while there are none. */
export class EndedCgroups {
  readonly #library: Pick<NativeLibrary, "removeEndedCgroups">;
  readonly #log: RuntimeLog;
  #timer: NodeJS.Timeout | undefined;
  #round: Promise<void> = Promise.resolve();
  #closed = false;

  constructor({ library, log }: { readonly library: Pick<NativeLibrary, "removeEndedCgroups">; readonly log: RuntimeLog }) {
    this.#library = library;
    this.#log = log;
  }

  /** There may be one: a pod has just ended, or an earlier agent had no time. */
  expect(): void {
    if (this.#closed || this.#timer !== undefined) return;
    this.#timer = setTimeout(() => {
      this.#round = this.#look();
    }, roundMs).unref();
  }

  /** What is left is the next agent's. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    await this.#round;
  }

  async #look(): Promise<void> {
    // Who ends from now on may come too late for this round.
    this.#timer = undefined;
    try {
      if ((await this.#library.removeEndedCgroups()) > 0) this.expect();
    } catch (error) {
      this.#log.warn({ err: error }, "cannot remove the cgroups of ended pods; it is tried again when the next one has ended");
    }
  }
}

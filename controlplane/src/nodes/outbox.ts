import type { ControlMessage } from "@tessera/proto/node";

type Message = NonNullable<ControlMessage["message"]>;

/**
 * What a node is still to be told, in order, one entry per subject ("the pod with this uid"). An entry holds no message: it makes the newest one at the
 * moment when the connection can take it. So a slow node gets fewer messages, not older ones, and what waits for it is bounded by the number of subjects.
 */
export class Outbox {
  /** Writes one message; returns whether the connection takes more at once. */
  readonly #write: (message: ControlMessage) => boolean;
  readonly #entries = new Map<string, () => Message | undefined>();
  #blocked = false;
  #planned = false;
  #closed = false;
  constructor(write: (message: ControlMessage) => boolean) {
    this.#write = write;
  }

  get size(): number {
    return this.#entries.size;
  }

  /** `make` is called when the message can be sent; undefined from it: there is nothing to say any more. A subject that waits already keeps its place. */
  add(subject: string, make: () => Message | undefined): void {
    if (this.#closed) return;
    this.#entries.set(subject, make);
    if (this.#planned || this.#blocked) return;
    this.#planned = true;
    // After the events that are being handed out, which may be about the same subject.
    queueMicrotask(() => {
      this.#planned = false;
      this.#send();
    });
  }

  /** There is nothing to say about the subject any more. */
  withdraw(subject: string): void {
    this.#entries.delete(subject);
  }

  /** The connection takes more. */
  drained(): void {
    this.#blocked = false;
    this.#send();
  }

  close(): void {
    this.#closed = true;
    this.#entries.clear();
  }

  #send(): void {
    while (!this.#blocked && !this.#closed) {
      const next = this.#entries.entries().next();
      if (next.done) return;
      const [subject, make] = next.value;
      this.#entries.delete(subject);
      const message = make();
      if (message && !this.#write({ message })) this.#blocked = true;
    }
  }
}

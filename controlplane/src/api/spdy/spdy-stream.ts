import type { Headers } from "./header-block.ts";

/** What a stream needs of its session. */
export interface StreamLink {
  data(data: Uint8Array, fin: boolean): Promise<void>;
  /** This side resets the stream. */
  reset(): void;
  /** Both directions have ended, or the stream was reset. */
  over(): void;
}

/** What the client sent and nobody has taken yet; beyond it the whole session is not read. */
const maxQueuedBytes = 1024 * 1024;

/** A two-way stream that the client opened. Iterating over it gives what the client sends, and throws when the client resets it. */
export class SpdyStream implements AsyncIterable<Buffer> {
  readonly headers: Headers;
  readonly #link: StreamLink;
  readonly #queue: Buffer[] = [];
  readonly #broken = new AbortController();
  #queuedBytes = 0;
  #takenBytes = 0;
  #hasInputEnded = false;
  #hasOutputEnded = false;
  #wakeReader: () => void = () => {};
  #wakeSession: () => void = () => {};

  constructor(headers: Headers, link: StreamLink) {
    this.headers = headers;
    this.#link = link;
  }

  /** Aborted when the stream is reset by either side, or the session ends. */
  get broken(): AbortSignal {
    return this.#broken.signal;
  }

  /** Grows with all that is taken: a stream whose number stands still is not read. */
  get takenBytes(): number {
    return this.#takenBytes;
  }

  get isFull(): boolean {
    return this.#queuedBytes > maxQueuedBytes && !this.#broken.signal.aborted;
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer> {
    for (;;) {
      this.#broken.signal.throwIfAborted();
      const data = this.#queue.shift();
      if (data !== undefined) {
        this.#queuedBytes -= data.length;
        this.#takenBytes += data.length;
        this.#wakeSession();
        yield data;
      } else if (this.#hasInputEnded) return;
      else {
        await new Promise<void>((resolve) => {
          this.#wakeReader = resolve;
        });
      }
    }
  }

  /** Resolves when more may be sent. */
  async write(data: Uint8Array): Promise<void> {
    this.#broken.signal.throwIfAborted();
    if (data.length > 0 && !this.#hasOutputEnded) await this.#link.data(data, false);
  }

  /** No more will be written. */
  async end(): Promise<void> {
    if (this.#hasOutputEnded || this.#broken.signal.aborted) return;
    this.#hasOutputEnded = true;
    await this.#link.data(Buffer.alloc(0), true);
    if (this.#hasInputEnded) this.#link.over();
  }

  /** Drops the stream, unless it is over. */
  reset(): void {
    if (this.#broken.signal.aborted || (this.#hasInputEnded && this.#hasOutputEnded)) return;
    this.#link.reset();
    this.breakOff("the stream was reset");
  }

  /** For the session: what the client sent. */
  receive(data: Buffer, fin: boolean): void {
    if (this.#hasInputEnded || this.#broken.signal.aborted) return;
    if (data.length > 0) this.#queue.push(data);
    this.#queuedBytes += data.length;
    this.#hasInputEnded = fin;
    this.#wakeReader();
    if (fin && this.#hasOutputEnded) this.#link.over();
  }

  /** For the session, and one caller at a time: resolves when something was taken, the stream broke, or after this time. */
  roomMade(timeoutMs: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, timeoutMs);
      this.#wakeSession = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** For the session: the client reset the stream, or all is over. */
  breakOff(why: string): void {
    if (this.#broken.signal.aborted) return;
    this.#queue.length = 0;
    this.#queuedBytes = 0;
    this.#broken.abort(new DOMException(why, "AbortError"));
    this.#wakeReader();
    this.#wakeSession();
    this.#link.over();
  }
}

import { TesseraError } from "@tessera/proto";

/** Takes counted bytes from a stream of chunks, copying only where a count spans chunks. */
export class ByteSource {
  readonly #iterator: AsyncIterator<Uint8Array>;
  #chunk: Buffer = Buffer.alloc(0);
  #ended = false;

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#iterator = source[Symbol.asyncIterator]();
  }

  /** Exactly `count` bytes; undefined when there are none at all. Throws TesseraError "Invalid" when there are some but too few. */
  async take(count: number): Promise<Buffer | undefined> {
    if (this.#chunk.length >= count) return this.#cut(count);
    const parts: Buffer[] = [];
    let missing = count;
    while (missing > 0) {
      const part = await this.some(missing);
      if (part === undefined) {
        if (missing === count) return undefined;
        throw new TesseraError("Invalid", "it ends in the middle of a block");
      }
      parts.push(part);
      missing -= part.length;
    }
    return Buffer.concat(parts);
  }

  /** Between 1 and `most` bytes, undefined at the end. Valid until the next call. */
  async some(most: number): Promise<Buffer | undefined> {
    if (this.#chunk.length === 0 && !(await this.#fill())) return undefined;
    return this.#cut(Math.min(most, this.#chunk.length));
  }

  /** False when the source ended before. */
  async skip(count: number): Promise<boolean> {
    let left = count;
    while (left > 0) {
      const part = await this.some(left);
      if (part === undefined) return false;
      left -= part.length;
    }
    return true;
  }

  async drain(): Promise<void> {
    while (await this.#fill());
  }

  /** Lets the source go, also when it was not read to its end. */
  async close(): Promise<void> {
    if (!this.#ended) await this.#iterator.return?.();
  }

  async #fill(): Promise<boolean> {
    while (!this.#ended) {
      const next = await this.#iterator.next();
      if (next.done) {
        this.#ended = true;
        break;
      }
      const { value } = next;
      this.#chunk = Buffer.from(value.buffer, value.byteOffset, value.byteLength);
      if (value.length > 0) return true;
    }
    this.#chunk = Buffer.alloc(0);
    return false;
  }

  #cut(count: number): Buffer {
    const part = this.#chunk.subarray(0, count);
    this.#chunk = this.#chunk.subarray(count);
    return part;
  }
}

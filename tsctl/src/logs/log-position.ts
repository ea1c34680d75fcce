const SPACE = 0x20;
const NEWLINE = 0x0a;

/** What of a log was taken already: a time, and how much was written at that very moment. */
interface Taken {
  readonly time: string;
  readonly lines: number;
  /** Bytes of a line of that time whose end was not there yet; undefined: there was none. */
  readonly bytes: number | undefined;
}

/**
 * Follows a log that comes with times, and knows where it is in it, so that one that broke off can be asked for again from its last time on:
 * what comes twice then is left out, by what was there before. Times are those that the node wrote, compared as text of one length.
 */
export class LogPosition {
  readonly #withTimes: boolean;
  #time = "";
  /** Complete lines of `time` that were passed on. */
  #lines = 0;
  /** Bytes of the present line that were passed on, after its time. */
  #bytes = 0;
  #stamp: Buffer[] = [];
  #isInLine = false;
  /** What the reader has from before the last break. */
  #taken: Taken | undefined;
  /** Of the present line so much is known already, beside its time; Infinity: all of it. Undefined: nothing, the line is new. */
  #known: number | undefined;
  /** Lines of the time of `taken` that have come again. */
  #repeated = 0;

  constructor(withTimes: boolean) {
    this.#withTimes = withTimes;
  }

  /** The time to ask from; undefined: nothing has come. */
  get time(): string | undefined {
    return this.#time === "" ? undefined : this.#time;
  }

  /** The log begins again, at or before `time`. */
  resume(): void {
    // What had not come again yet by a further break is still what the reader has.
    if (this.#taken === undefined && this.#time !== "") {
      const bytes = this.#isInLine ? Math.max(this.#bytes, this.#known ?? 0) : undefined;
      this.#taken = { time: this.#time, lines: this.#lines, bytes };
    }
    this.#stamp = [];
    this.#isInLine = false;
    this.#repeated = 0;
  }

  /** The part of the chunk that is new. */
  take(chunk: Buffer): Buffer {
    const fresh: Buffer[] = [];
    for (let at = 0; at < chunk.length; ) {
      const end = chunk.indexOf(this.#isInLine ? NEWLINE : SPACE, at);
      const isWhole = end >= 0;
      const piece = chunk.subarray(at, isWhole ? end + 1 : chunk.length);
      at += piece.length;
      if (this.#isInLine) fresh.push(this.#takeText(piece, isWhole));
      else {
        this.#stamp.push(piece);
        if (isWhole) fresh.push(this.#beginLine());
      }
    }
    return Buffer.concat(fresh);
  }

  #beginLine(): Buffer {
    const stamp = Buffer.concat(this.#stamp);
    const time = stamp.subarray(0, -1).toString();
    this.#stamp = [];
    this.#isInLine = true;
    this.#known = this.#knownOf(time);
    this.#bytes = 0;
    if (this.#known === undefined && time !== this.#time) {
      this.#time = time;
      this.#lines = 0;
    }
    return this.#withTimes && this.#known === undefined ? stamp : Buffer.alloc(0);
  }

  #knownOf(time: string): number | undefined {
    const taken = this.#taken;
    if (taken === undefined || time > taken.time) {
      this.#taken = undefined;
      return undefined;
    }
    if (time < taken.time || this.#repeated++ < taken.lines) return Number.POSITIVE_INFINITY;
    this.#taken = undefined;
    return taken.bytes;
  }

  #takeText(piece: Buffer, isWhole: boolean): Buffer {
    const before = this.#bytes;
    this.#bytes += piece.length;
    if (isWhole) {
      this.#isInLine = false;
      if (this.#known !== Number.POSITIVE_INFINITY) this.#lines++;
    }
    return piece.subarray(Math.max(0, Math.min(piece.length, (this.#known ?? 0) - before)));
  }
}

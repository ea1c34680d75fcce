import { type FSWatcher, watch } from "node:fs";
import { dirname } from "node:path";
import { type LogEntry, parseLine } from "./cri-line.ts";
import { closeSegments, openSegments, type Segment, tailOffset } from "./segment.ts";

export interface LogOptions {
  /** Go on with what is written until the container has ended. */
  readonly follow: boolean;
  /** Begin each line with its time. */
  readonly timestamps: boolean;
  /** Only so many lines from the end. */
  readonly tailLines?: number;
  /** Only what was written at this time (ms since the epoch) or later. */
  readonly sinceMs?: number;
  /** Only what was written there; not together with `tailLines`, which counts the lines of both. */
  readonly only?: LogEntry["stream"];
  /** End after so many bytes of output. */
  readonly limitBytes?: number;
}

/** Says when nothing more will be written. */
export interface LogEnd {
  hasEnded(): boolean;
  /** Calls back when `hasEnded` may have changed; returns a function that stops it. */
  onChange(listener: () => void): () => void;
}

const READ_BYTES = 64 * 1024;
const NEWLINE = 0x0a;
/** An entry is at most one line of the shim's buffer; what is longer is no log of ours. */
const LONGEST_ENTRY_BYTES = 1 << 20;

/**
 * The text of a container's log, through all its rotated files, oldest first. Each file is read by descriptor to its end before the next
 * one, so a rotation in the middle neither loses nor doubles a line.
 */
export async function* readLog(path: string, options: LogOptions, end: LogEnd, signal: AbortSignal): AsyncGenerator<Buffer> {
  const printer = new Printer(options);
  const waker = options.follow ? new Waker(dirname(path), end, signal) : undefined;
  const { segments, offset } = await openFrom(path, options.tailLines);
  let current = segments.shift();
  let position = offset;
  try {
    for (;;) {
      signal.throwIfAborted();
      // Asked before reading: what was written before is then surely read.
      const isLast = !options.follow || end.hasEnded();
      const next = segments.shift() ?? (await successor(path, current));
      if (next !== undefined) segments.unshift(next);
      for await (const entry of entries(current, position)) {
        position = entry.nextOffset;
        const text = printer.print(entry.entry);
        if (text.length > 0) yield text;
        if (printer.isFull) return;
      }
      if (next !== undefined) {
        await current?.file.close();
        current = segments.shift();
        position = 0;
      } else if (isLast) {
        return;
      } else {
        await waker?.wait();
      }
    }
  } finally {
    waker?.close();
    await closeSegments(current === undefined ? segments : [current, ...segments]);
  }
}

/** The files to read and where to begin in the first. */
async function openFrom(path: string, tailLines: number | undefined): Promise<{ segments: Segment[]; offset: number }> {
  const segments = await openSegments(path);
  if (tailLines === undefined) return { segments, offset: 0 };
  let missing = tailLines;
  for (let place = segments.length - 1; place >= 0; place -= 1) {
    const segment = segments[place];
    if (segment === undefined) break;
    const { offset, found } = await tailOffset(segment, missing);
    if (found >= missing) {
      await closeSegments(segments.splice(0, place));
      return { segments, offset };
    }
    missing -= found;
  }
  return { segments, offset: 0 };
}

/** The file that was begun after `current`; undefined while `current` is still the one that is written. */
async function successor(path: string, current: Segment | undefined): Promise<Segment | undefined> {
  const segments = await openSegments(path);
  const place = current === undefined ? -1 : segments.findIndex((segment) => segment.inode === current.inode);
  // When `current` is no longer among them it was rotated away: the oldest that is left comes closest.
  const [next] = segments.splice(place + 1, 1);
  await closeSegments(segments);
  return next;
}

/** Whole entries from `offset` to the present end of the file. */
async function* entries(segment: Segment | undefined, offset: number): AsyncGenerator<{ entry: LogEntry; nextOffset: number }> {
  if (segment === undefined) return;
  let position = offset;
  let rest: Buffer = Buffer.alloc(0);
  for (;;) {
    const { buffer, bytesRead } = await segment.file.read(Buffer.alloc(READ_BYTES), 0, READ_BYTES, position + rest.length);
    if (bytesRead === 0) return;
    rest = rest.length === 0 ? buffer.subarray(0, bytesRead) : Buffer.concat([rest, buffer.subarray(0, bytesRead)]);
    for (let newline = rest.indexOf(NEWLINE); newline >= 0; newline = rest.indexOf(NEWLINE)) {
      const entry = parseLine(rest.subarray(0, newline));
      rest = rest.subarray(newline + 1);
      position += newline + 1;
      if (entry !== undefined) yield { entry, nextOffset: position };
    }
    if (rest.length > LONGEST_ENTRY_BYTES) {
      position += rest.length;
      rest = Buffer.alloc(0);
    }
  }
}

/** Applies the options to one entry after the other. */
class Printer {
  readonly #options: LogOptions;
  readonly #inLine = { stdout: false, stderr: false };
  #isSince: boolean;
  #left: number;

  constructor(options: LogOptions) {
    this.#options = options;
    this.#isSince = options.sinceMs === undefined;
    this.#left = options.limitBytes ?? Number.POSITIVE_INFINITY;
  }

  get isFull(): boolean {
    return this.#left <= 0;
  }

  print(entry: LogEntry): Buffer {
    if (!this.#isSince) {
      // Times only grow, so the first entry that is late enough lets all others through.
      if (Date.parse(entry.time) < (this.#options.sinceMs ?? 0)) return Buffer.alloc(0);
      this.#isSince = true;
    }
    if (this.#options.only !== undefined && entry.stream !== this.#options.only) return Buffer.alloc(0);
    const parts = [entry.text];
    if (this.#options.timestamps && !this.#inLine[entry.stream]) parts.unshift(Buffer.from(`${entry.time} `));
    if (entry.isFull) parts.push(Buffer.from("\n"));
    this.#inLine[entry.stream] = !entry.isFull;
    const text = Buffer.concat(parts).subarray(0, this.#left);
    this.#left -= text.length;
    return text;
  }
}

/** Wakes a follower when its folder changes, the container ends or the reader leaves. */
class Waker {
  readonly #watcher: FSWatcher;
  readonly #signal: AbortSignal;
  readonly #unsubscribe: () => void;
  #pending = Promise.withResolvers<void>();

  constructor(folder: string, end: LogEnd, signal: AbortSignal) {
    const wake = () => this.#pending.resolve();
    this.#watcher = watch(folder, wake);
    // The folder went away with its pod: the end that comes with it is what matters.
    this.#watcher.on("error", wake);
    this.#unsubscribe = end.onChange(wake);
    this.#signal = signal;
    signal.addEventListener("abort", wake, { once: true });
  }

  /** Returns at once when something happened since the last wait. */
  async wait(): Promise<void> {
    if (!this.#signal.aborted) await this.#pending.promise;
    this.#pending = Promise.withResolvers<void>();
  }

  close(): void {
    this.#watcher.close();
    this.#unsubscribe();
  }
}

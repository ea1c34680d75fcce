/**
 * What the agent and a pod's shim say to each other; src/shim/protocol.h says the same and explains it, and a test
 * compares the two.
 */

export const headerSize = 12;
const fieldHeaderSize = 6;
export const maxPayload = 4 * 1024 * 1024;
/** Of a data frame in either direction. */
export const maxData = 32 * 1024;

export const frames = {
  STATE: 1,
  START: 2,
  SIGNAL: 3,
  REMOVE: 4,
  SHUTDOWN: 5,
  EXEC: 6,
  STDIN: 7,
  STDIN_END: 8,
  RESIZE: 9,
  EXEC_KILL: 10,
  ATTACH: 11,
  CONNECT: 12,
  OK: 64,
  ERROR: 65,
  STATE_IS: 66,
  STARTED: 67,
  EXITED: 68,
  EXEC_STARTED: 69,
  STDOUT: 70,
  STDERR: 71,
  EXEC_EXITED: 72,
  STDOUT_END: 73,
} as const;

export const tags = {
  SANDBOX: 1,
  CONTAINER: 2,
  CONTAINER_STATE: 3,
  PID: 4,
  STARTED_AT: 5,
  FINISHED_AT: 6,
  EXIT_CODE: 7,
  SIGNAL: 8,
  OOM_KILLED: 9,
  REASON: 10,
  ERRNO: 11,
  STEP: 12,
  OPERAND: 13,
  ARGUMENT: 20,
  VARIABLE: 21,
  CWD: 22,
  UID: 23,
  GID: 24,
  GROUP: 25,
  TERMINAL: 26,
  COLUMNS: 27,
  ROWS: 28,
  STDIN_OPEN: 29,
  LOWER: 30,
  UPPER: 31,
  WORK: 32,
  MOUNTPOINT: 33,
  READ_ONLY: 34,
  MOUNT: 40,
  MOUNT_TYPE: 41,
  SOURCE: 42,
  DESTINATION: 43,
  RECURSIVE: 44,
  PROPAGATION: 45,
  SIZE: 46,
  MODE: 47,
  SUB_PATH: 48,
  CAPABILITIES: 50,
  NO_NEW_PRIVILEGES: 51,
  PRIVILEGED: 52,
  SECCOMP: 53,
  CGROUP_DIR: 54,
  HOST_PID: 55,
  OOM_SCORE_ADJ: 56,
  LOG_PATH: 57,
  LOG_MAX_BYTES: 58,
  LOG_MAX_FILES: 59,
  ENDS_STDIN: 60,
  PORT: 61,
  POD_PID: 62,
  INIT: 63,
  TARGET: 64,
  SECCOMP_FLAGS: 65,
  EARLY_OUTPUT: 66,
  RLIMIT: 70,
  RESOURCE: 71,
  SOFT: 72,
  HARD: 73,
} as const;

export type FrameName = keyof typeof frames;
export type TagName = keyof typeof tags;

const firstRoom = 1024;

/** The fields of a frame, in order. */
export class FieldWriter {
  #bytes = Buffer.allocUnsafe(firstRoom);
  #size = 0;

  u32(tag: TagName, value: number): this {
    const at = this.#field(tag, 4);
    this.#bytes.writeUInt32LE(value, at);
    return this;
  }

  u64(tag: TagName, value: number | bigint): this {
    const at = this.#field(tag, 8);
    this.#bytes.writeBigUInt64LE(BigInt(value), at);
    return this;
  }

  bool(tag: TagName, value: boolean): this {
    return this.u32(tag, value ? 1 : 0);
  }

  /** Throws when the string holds a NUL, which would end it early on the other side. */
  string(tag: TagName, value: string): this {
    if (value.includes("\0")) throw new RangeError(`${tag} holds a NUL character`);
    const length = Buffer.byteLength(value);
    const at = this.#field(tag, length + 1);
    this.#bytes.write(value, at, length, "utf8");
    this.#bytes[at + length] = 0;
    return this;
  }

  strings(tag: TagName, values: readonly string[]): this {
    for (const value of values) this.string(tag, value);
    return this;
  }

  bytes(tag: TagName, value: Uint8Array): this {
    const at = this.#field(tag, value.length);
    this.#bytes.set(value, at);
    return this;
  }

  fields(tag: TagName, write: (writer: FieldWriter) => void): this {
    const inner = new FieldWriter();
    write(inner);
    return this.bytes(tag, inner.finish());
  }

  finish(): Buffer {
    return this.#bytes.subarray(0, this.#size);
  }

  /** Returns where its value is to be written. */
  #field(tag: TagName, size: number): number {
    const at = this.#size;
    this.#size += fieldHeaderSize + size;
    if (this.#size > this.#bytes.length) this.#grow();
    this.#bytes.writeUInt16LE(tags[tag], at);
    this.#bytes.writeUInt32LE(size, at + 2);
    return at + fieldHeaderSize;
  }

  #grow(): void {
    const larger = Buffer.allocUnsafe(2 * this.#size);
    larger.set(this.#bytes);
    this.#bytes = larger;
  }
}

export function encodeFrame(type: FrameName, request: number, payload: Uint8Array = new Uint8Array()): Buffer {
  const frame = Buffer.alloc(headerSize + payload.length);
  frame.writeUInt32LE(payload.length, 0);
  frame.writeUInt16LE(frames[type], 4);
  frame.writeUInt32LE(request, 8);
  frame.set(payload, headerSize);
  return frame;
}

/** The shim said something that is no frame of this protocol: not its mistake to be repaired, but ours to report. */
export class ProtocolError extends Error {
  override readonly name = "ProtocolError";
}

/** The fields of a payload by tag; of a repeated one, all. Unknown tags are kept and do no harm. */
export class Fields {
  readonly #values = new Map<number, Buffer[]>();

  constructor(payload: Buffer) {
    let at = 0;
    while (at < payload.length) {
      if (payload.length - at < fieldHeaderSize) throw new ProtocolError("a field's header is cut off");
      const tag = payload.readUInt16LE(at);
      const end = at + fieldHeaderSize + payload.readUInt32LE(at + 2);
      if (end > payload.length) throw new ProtocolError(`field ${tag} is cut off`);
      const values = this.#values.get(tag) ?? [];
      values.push(payload.subarray(at + fieldHeaderSize, end));
      this.#values.set(tag, values);
      at = end;
    }
  }

  has(tag: TagName): boolean {
    return this.#values.has(tags[tag]);
  }

  u32(tag: TagName): number {
    return this.#value(tag, 4).readUInt32LE(0);
  }

  u64(tag: TagName): number {
    return Number(this.#value(tag, 8).readBigUInt64LE(0));
  }

  string(tag: TagName): string {
    const value = this.#value(tag);
    if (value.indexOf(0) !== value.length - 1) throw new ProtocolError(`field ${tag} is no string`);
    return value.toString("utf8", 0, value.length - 1);
  }

  all(tag: TagName): Fields[] {
    return (this.#values.get(tags[tag]) ?? []).map((value) => new Fields(value));
  }

  #value(tag: TagName, size?: number): Buffer {
    const value = this.#values.get(tags[tag])?.[0];
    if (!value || (size !== undefined && value.length !== size)) throw new ProtocolError(`field ${tag} is missing or has a wrong size`);
    return value;
  }
}

export interface Frame {
  readonly type: number;
  readonly request: number;
  readonly payload: Buffer;
}

/** Cuts a byte stream into frames. */
export class FrameReader {
  #waiting: Buffer[] = [];
  #size = 0;

  /** Takes the next chunk in and returns the frames that are complete now. */
  push(chunk: Buffer): Frame[] {
    this.#waiting.push(chunk);
    this.#size += chunk.length;
    const complete: Frame[] = [];
    for (let frame = this.#next(); frame; frame = this.#next()) complete.push(frame);
    return complete;
  }

  #next(): Frame | undefined {
    if (this.#size < headerSize) return undefined;
    const header = this.#joined(headerSize);
    const size = header.readUInt32LE(0);
    if (size > maxPayload) throw new ProtocolError(`a frame of ${size} bytes`);
    if (this.#size < headerSize + size) return undefined;
    const bytes = this.#joined(headerSize + size);
    const rest = bytes.subarray(headerSize + size);
    this.#waiting = rest.length > 0 ? [rest, ...this.#waiting.slice(1)] : this.#waiting.slice(1);
    this.#size -= headerSize + size;
    return { type: bytes.readUInt16LE(4), request: bytes.readUInt32LE(8), payload: bytes.subarray(headerSize, headerSize + size) };
  }

  /** The first of the waiting chunks, made to hold so many bytes. */
  #joined(size: number): Buffer {
    const first = this.#waiting[0];
    if (first && first.length >= size) return first;
    const joined = Buffer.concat(this.#waiting, this.#size);
    this.#waiting = [joined];
    return joined;
  }
}

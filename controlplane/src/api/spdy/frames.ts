import { SpdyError } from "./spdy-error.ts";

/*
 * Frames of SPDY/3.1. A control frame is the bit 1, 15 bits of version, 16 of type, 8 of flags, 24 of length; a data frame the bit 0, 31 bits
 * of stream, 8 of flags, 24 of length. All numbers begin with their highest byte.
 */

const version = 3;
const headerBytes = 8;
const controlTypes = { synStream: 1, synReply: 2, rstStream: 3, settings: 4, ping: 6, goAway: 7, headers: 8, windowUpdate: 9 } as const;
const finFlag = 1;
/** Data frames are handed on piece by piece; of control frames the whole has to be held. */
const maxControlBytes = 16 * 1024;

export const resetStatus = {
  protocolError: 1,
  invalidStream: 2,
  refusedStream: 3,
  cancel: 5,
  internalError: 6,
  flowControlError: 7,
} as const;
export type ResetStatus = (typeof resetStatus)[keyof typeof resetStatus];

export const goAwayStatus = { ok: 0, protocolError: 1 } as const;

export type Frame =
  | { readonly type: "synStream"; readonly stream: number; readonly fin: boolean; readonly block: Buffer }
  | { readonly type: "synReply" | "headers"; readonly stream: number; readonly fin: boolean; readonly block: Buffer }
  | { readonly type: "rstStream"; readonly stream: number; readonly status: number }
  | { readonly type: "ping"; readonly id: number }
  | { readonly type: "goAway" }
  /** Settings, window updates and what this side does not know: nothing follows from them here. */
  | { readonly type: "ignored" }
  /** A piece of a data frame; `fin` with the last one of the last frame. */
  | { readonly type: "data"; readonly stream: number; readonly fin: boolean; readonly data: Buffer };

/** Cuts a byte stream into frames. Throws SpdyError for what is none. */
export class FrameReader {
  #waiting: Buffer = Buffer.alloc(0);
  /** Of a data frame whose header was read. */
  #open: { readonly stream: number; readonly fin: boolean; left: number } | undefined;

  *push(chunk: Buffer): Generator<Frame> {
    this.#waiting = this.#waiting.length === 0 ? chunk : Buffer.concat([this.#waiting, chunk]);
    for (let frame = this.#next(); frame !== undefined; frame = this.#next()) yield frame;
  }

  #next(): Frame | undefined {
    if (this.#open !== undefined) return this.#nextPiece(this.#open);
    if (this.#waiting.length < headerBytes) return undefined;
    const first = this.#waiting.readUInt32BE(0);
    const flags = this.#waiting.readUInt8(4);
    const length = this.#waiting.readUIntBE(5, 3);
    const isControl = first >= 0x8000_0000;
    if (!isControl) {
      this.#take(headerBytes);
      this.#open = { stream: first, fin: (flags & finFlag) !== 0, left: length };
      return this.#nextPiece(this.#open);
    }
    if (((first >>> 16) & 0x7fff) !== version) throw new SpdyError(`a frame of version ${(first >>> 16) & 0x7fff}, not ${version}`);
    if (length > maxControlBytes) throw new SpdyError(`a control frame of ${length} bytes`);
    if (this.#waiting.length < headerBytes + length) return undefined;
    this.#take(headerBytes);
    return parseControl(first & 0xffff, flags, this.#take(length));
  }

  #nextPiece(open: { readonly stream: number; readonly fin: boolean; left: number }): Frame | undefined {
    if (open.left > 0 && this.#waiting.length === 0) return undefined;
    const data = this.#take(Math.min(open.left, this.#waiting.length));
    open.left -= data.length;
    if (open.left === 0) this.#open = undefined;
    return { type: "data", stream: open.stream, fin: open.fin && open.left === 0, data };
  }

  #take(size: number): Buffer {
    const taken = this.#waiting.subarray(0, size);
    this.#waiting = this.#waiting.subarray(size);
    return taken;
  }
}

function parseControl(type: number, flags: number, body: Buffer): Frame {
  const fin = (flags & finFlag) !== 0;
  const need = (size: number) => {
    if (body.length < size) throw new SpdyError(`a control frame of type ${type} of ${body.length} bytes`);
  };
  switch (type) {
    case controlTypes.synStream:
      need(10);
      return { type: "synStream", stream: streamOf(body), fin, block: body.subarray(10) };
    case controlTypes.synReply:
    case controlTypes.headers:
      need(4);
      return { type: type === controlTypes.headers ? "headers" : "synReply", stream: streamOf(body), fin, block: body.subarray(4) };
    case controlTypes.rstStream:
      need(8);
      return { type: "rstStream", stream: streamOf(body), status: body.readUInt32BE(4) };
    case controlTypes.ping:
      need(4);
      return { type: "ping", id: body.readUInt32BE(0) };
    case controlTypes.goAway:
      return { type: "goAway" };
    default:
      return { type: "ignored" };
  }
}

function streamOf(body: Buffer): number {
  return body.readUInt32BE(0) & 0x7fff_ffff;
}

function control(type: number, flags: number, body: Buffer): Buffer {
  const header = Buffer.alloc(headerBytes);
  header.writeUInt16BE(0x8000 | version, 0);
  header.writeUInt16BE(type, 2);
  header.writeUInt8(flags, 4);
  header.writeUIntBE(body.length, 5, 3);
  return Buffer.concat([header, body]);
}

function words(...values: number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length);
  for (const [i, value] of values.entries()) bytes.writeUInt32BE(value >>> 0, 4 * i);
  return bytes;
}

/** For clients, and so for tests. */
export function encodeSynStream(stream: number, block: Buffer, fin = false): Buffer {
  return control(controlTypes.synStream, fin ? finFlag : 0, Buffer.concat([words(stream, 0), Buffer.alloc(2), block]));
}

export function encodeSynReply(stream: number, block: Buffer): Buffer {
  return control(controlTypes.synReply, 0, Buffer.concat([words(stream), block]));
}

export function encodeReset(stream: number, status: ResetStatus): Buffer {
  return control(controlTypes.rstStream, 0, words(stream, status));
}

export function encodePing(id: number): Buffer {
  return control(controlTypes.ping, 0, words(id));
}

export function encodeGoAway(lastStream: number, status: number): Buffer {
  return control(controlTypes.goAway, 0, words(lastStream, status));
}

export function encodeData(stream: number, data: Uint8Array, fin: boolean): Buffer {
  const frame = Buffer.allocUnsafe(headerBytes + data.length);
  frame.writeUInt32BE(stream, 0);
  frame.writeUInt8(fin ? finFlag : 0, 4);
  frame.writeUIntBE(data.length, 5, 3);
  frame.set(data, headerBytes);
  return frame;
}

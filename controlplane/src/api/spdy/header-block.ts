import { constants, createInflate } from "node:zlib";
import { headerDictionary, headerDictionaryId } from "./dictionary.ts";
import { SpdyError } from "./spdy-error.ts";

/** Names in lower case. Of a name that comes several times the first counts. */
export type Headers = ReadonlyMap<string, string>;

const maxBlockBytes = 16 * 1024;
const maxHeaders = 64;

/** Reads the header blocks of one direction: all of them are one zlib stream, so none may be left out. */
export class HeaderReader implements Disposable {
  readonly #inflate = createInflate({ dictionary: headerDictionary, flush: constants.Z_SYNC_FLUSH, chunkSize: maxBlockBytes });
  #pieces: Buffer[] = [];
  #size = 0;
  #fault: Error | undefined;
  #settle: () => void = () => {};

  constructor() {
    this.#inflate.on("data", (piece: Buffer) => {
      this.#size += piece.length;
      if (this.#size <= maxBlockBytes) this.#pieces.push(piece);
      else this.#inflate.destroy(new SpdyError(`a header block of more than ${maxBlockBytes} bytes`));
    });
    this.#inflate.on("error", (error) => {
      this.#fault = error instanceof SpdyError ? error : new SpdyError(`header block: ${error.message}`);
      this.#settle();
    });
  }

  async read(compressed: Buffer): Promise<Headers> {
    this.#pieces = [];
    this.#size = 0;
    if (this.#fault === undefined) {
      await new Promise<void>((resolve) => {
        this.#settle = resolve;
        this.#inflate.write(compressed, () => resolve());
      });
    }
    if (this.#fault !== undefined) throw this.#fault;
    return parse(Buffer.concat(this.#pieces));
  }

  [Symbol.dispose](): void {
    this.#fault ??= new SpdyError("the session is over");
    this.#inflate.destroy();
    this.#settle();
  }
}

function parse(block: Buffer): Headers {
  const headers = new Map<string, string>();
  let at = 0;
  const number = () => {
    if (at + 4 > block.length) throw new SpdyError("a header block is cut off");
    at += 4;
    return block.readUInt32BE(at - 4);
  };
  const text = () => {
    const size = number();
    if (at + size > block.length) throw new SpdyError("a header block is cut off");
    at += size;
    return block.toString("utf8", at - size, at);
  };
  const count = number();
  if (count > maxHeaders) throw new SpdyError(`a header block of ${count} headers`);
  for (let i = 0; i < count; i++) {
    const name = text().toLowerCase();
    const [value = ""] = text().split("\0");
    if (!headers.has(name)) headers.set(name, value);
  }
  return headers;
}

/**
 * Writes header blocks as a zlib stream of stored blocks: what this side has to say is a few bytes, and a compressor would hold a quarter of a
 * megabyte for each session.
 */
export class HeaderWriter {
  #isFirst = true;

  write(headers: Headers): Buffer {
    const parts = [uint32(headers.size)];
    for (const [name, value] of headers) {
      for (const text of [Buffer.from(name), Buffer.from(value)]) parts.push(uint32(text.length), text);
    }
    const block = Buffer.concat(parts);
    if (block.length > 0xffff) throw new RangeError(`${block.length} bytes of headers`);
    // Deflate with a dictionary, which is named; then a stored block, and an empty one, by which readers know that they have all until now.
    const start = this.#isFirst ? [Buffer.of(0x78, 0x20), uint32(headerDictionaryId)] : [];
    this.#isFirst = false;
    return Buffer.concat([...start, storedBlock(block), storedBlock(Buffer.alloc(0))]);
  }
}

/** Not the last one; its length, and that inverted. */
function storedBlock(content: Buffer): Buffer {
  const header = Buffer.alloc(5);
  header.writeUInt16LE(content.length, 1);
  header.writeUInt16LE(~content.length & 0xffff, 3);
  return Buffer.concat([header, content]);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

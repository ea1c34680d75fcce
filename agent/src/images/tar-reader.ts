/**
 * Reads tar archives as layers and images have them: ustar, GNU long names, PAX (pax(1p), and the notes of star and GNU tar), byte for byte.
 * Extended attributes are bytes, not text: file capabilities do not survive a parser that takes PAX records for UTF-8. What cannot be
 * reproduced exactly (sparse files, names that are not UTF-8, vendors' types) is refused rather than guessed at.
 */
import { TesseraError } from "@tessera/proto";
import { ByteSource } from "./byte-source.ts";

export type TarEntryType = "file" | "link" | "symlink" | "char" | "block" | "directory" | "fifo";

export interface TarEntry {
  readonly name: string;
  readonly type: TarEntryType;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes of content; 0 for all but files. */
  readonly size: number;
  /** Seconds since the epoch, may have a fraction. */
  readonly mtime: number;
  /** Target of a link, "" for all else. */
  readonly linkName: string;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
  /** Raw values of PAX' SCHILY.xattr records by attribute name. */
  readonly xattrs: ReadonlyMap<string, Buffer>;
  /** The content, to be read once and before the next entry is asked for; what is not read is skipped. */
  content(): AsyncIterable<Buffer>;
}

const BLOCK = 512;
/** Long names and PAX records of one entry together; Go's reader has the same bound. */
const MAX_EXTENSION_BYTES = 1 << 20;

const types: ReadonlyMap<string, TarEntryType> = new Map([
  ["0", "file"],
  ["\0", "file"],
  ["7", "file"],
  ["1", "link"],
  ["2", "symlink"],
  ["3", "char"],
  ["4", "block"],
  ["5", "directory"],
  ["6", "fifo"],
]);

/** What headers before an entry say of it. */
interface Extension {
  readonly name?: string;
  readonly linkName?: string;
  readonly pax: ReadonlyMap<string, Buffer>;
}

const noExtension: Extension = { pax: new Map() };

/** Yields the entries and reads the source to its end. Throws TesseraError "Invalid" where the archive is unsound. */
export async function* readTar(source: AsyncIterable<Uint8Array>): AsyncGenerator<TarEntry> {
  const bytes = new ByteSource(source);
  try {
    let extension = noExtension;
    for (;;) {
      const block = await bytes.take(BLOCK);
      if (block === undefined || (isZero(block) && (await isEnd(bytes)))) break;
      const header = parseHeader(block);
      if (isExtension(header.flag)) {
        extension = await readExtension(header, extension, bytes);
        continue;
      }
      const body = new Body(bytes);
      const entry = toEntry(header, extension, body);
      extension = noExtension;
      yield entry;
      await body.finish();
    }
    // A digest over the source covers what comes after the end mark too.
    await bytes.drain();
  } finally {
    await bytes.close();
  }
}

/** After one block of zeros: a second one, or nothing, ends the archive. */
async function isEnd(bytes: ByteSource): Promise<boolean> {
  const second = await bytes.take(BLOCK);
  if (second !== undefined && !isZero(second)) throw invalid("a block of zeros stands between entries");
  return true;
}

function isZero(block: Buffer): boolean {
  return block.every((byte) => byte === 0);
}

// ---- headers ----

interface Header {
  readonly flag: string;
  readonly name: Buffer;
  readonly linkName: Buffer;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtime: number;
  readonly deviceMajor: number;
  readonly deviceMinor: number;
}

function parseHeader(block: Buffer): Header {
  checkSum(block);
  const magic = block.toString("latin1", 257, 263);
  const isUstar = magic === "ustar\0";
  const hasDevices = isUstar || magic === "ustar ";
  const base = cString(block, 0, 100);
  // star's own variant has times where POSIX has the end of the prefix.
  const isStar = block.toString("latin1", 508, 512) === "tar\0";
  const prefix = isUstar ? cString(block, 345, isStar ? 131 : 155) : Buffer.alloc(0);
  return {
    flag: String.fromCharCode(block[156] ?? 0),
    name: prefix.length > 0 ? Buffer.concat([prefix, Buffer.from("/"), base]) : base,
    linkName: cString(block, 157, 100),
    mode: field(block, 100, 8, "mode"),
    uid: field(block, 108, 8, "uid"),
    gid: field(block, 116, 8, "gid"),
    size: field(block, 124, 12, "size"),
    mtime: field(block, 136, 12, "mtime"),
    deviceMajor: hasDevices ? field(block, 329, 8, "devmajor") : 0,
    deviceMinor: hasDevices ? field(block, 337, 8, "devminor") : 0,
  };
}

/** The sum of all bytes, the checksum's own eight counted as spaces; old writers summed signed bytes. */
function checkSum(block: Buffer): void {
  const stored = field(block, 148, 8, "checksum");
  let unsigned = 0;
  let signed = 0;
  for (let i = 0; i < BLOCK; i++) {
    const counted = i >= 148 && i < 156 ? 0x20 : (block[i] ?? 0);
    unsigned += counted;
    signed += counted < 0x80 ? counted : counted - 0x100;
  }
  if (stored !== unsigned && stored !== signed) throw invalid("the checksum of a header is wrong");
}

function cString(block: Buffer, offset: number, length: number): Buffer {
  const whole = block.subarray(offset, offset + length);
  const end = whole.indexOf(0);
  return Buffer.from(end < 0 ? whole : whole.subarray(0, end));
}

/** An octal number, or with the first bit set one in base 256, two's complement. */
function field(block: Buffer, offset: number, length: number, what: string): number {
  const bytes = block.subarray(offset, offset + length);
  const first = bytes[0] ?? 0;
  let value: number;
  if ((first & 0x80) !== 0) {
    value = (first & 0x40) !== 0 ? (first & 0x7f) - 0x80 : first & 0x3f;
    for (const byte of bytes.subarray(1)) value = value * 256 + byte;
  } else {
    const text = bytes.toString("latin1").replace(/^[ \0]+|[ \0][\s\S]*$/g, "");
    if (!/^[0-7]*$/.test(text)) throw invalid(`the ${what} of a header is no octal number`);
    value = text === "" ? 0 : Number.parseInt(text, 8);
  }
  if (!Number.isSafeInteger(value)) throw invalid(`the ${what} of a header is out of range`);
  return value;
}

// ---- extensions: PAX records and GNU's long names ----

function isExtension(flag: string): boolean {
  return flag === "x" || flag === "g" || flag === "L" || flag === "K";
}

async function readExtension(header: Header, before: Extension, bytes: ByteSource): Promise<Extension> {
  if (header.size < 0 || header.size > MAX_EXTENSION_BYTES) throw invalid(`an extended header is ${header.size} bytes long`);
  const content = await bytes.take(header.size);
  if (content === undefined && header.size > 0) throw cutShort();
  await bytes.skip(padding(header.size));
  const data = content ?? Buffer.alloc(0);
  switch (header.flag) {
    case "L":
      return { ...before, name: decode(cString(data, 0, data.length), "a long name") };
    case "K":
      return { ...before, linkName: decode(cString(data, 0, data.length), "a long link name") };
    case "x":
      return { ...before, pax: parsePax(data) };
    default:
      // Defaults for the whole archive: git puts a comment there. Image tools give them no meaning.
      return before;
  }
}

/** Records "LENGTH KEY=VALUE\n", where the length counts the whole record. */
function parsePax(data: Buffer): Map<string, Buffer> {
  const records = new Map<string, Buffer>();
  let at = 0;
  while (at < data.length) {
    const space = data.indexOf(0x20, at);
    const digits = space < 0 ? "" : data.toString("latin1", at, space);
    const end = at + Number(digits);
    const equals = data.indexOf(0x3d, space);
    if (!/^[0-9]{1,9}$/.test(digits) || end > data.length || equals < 0 || equals >= end || data[end - 1] !== 0x0a)
      throw invalid("a PAX record is malformed");
    const key = data.toString("latin1", space + 1, equals);
    if (key.startsWith("GNU.sparse.")) throw invalid("sparse files are not supported");
    records.set(key, Buffer.from(data.subarray(equals + 1, end - 1)));
    at = end;
  }
  return records;
}

const xattrPrefix = "SCHILY.xattr.";

function toEntry(header: Header, { name: longName, linkName: longLink, pax }: Extension, body: Body): TarEntry {
  const name = paxText(pax, "path") ?? longName ?? decode(header.name, "a name");
  const type = types.get(header.flag);
  if (type === undefined) throw invalid(`"${name}" is of the unknown type ${JSON.stringify(header.flag)}`);
  const isFolder = type === "directory" || (type === "file" && name.endsWith("/"));
  const size = type === "file" && !isFolder ? (paxNumber(pax, "size") ?? header.size) : 0;
  if (size < 0 || !Number.isSafeInteger(size)) throw invalid(`"${name}" has the size ${size}`);
  body.begin(size);
  const xattrs = new Map<string, Buffer>();
  for (const [key, value] of pax) if (key.startsWith(xattrPrefix)) xattrs.set(key.slice(xattrPrefix.length), value);
  return {
    name,
    type: isFolder ? "directory" : type,
    mode: header.mode,
    uid: paxNumber(pax, "uid") ?? header.uid,
    gid: paxNumber(pax, "gid") ?? header.gid,
    size,
    mtime: paxNumber(pax, "mtime") ?? header.mtime,
    linkName: type === "link" || type === "symlink" ? (paxText(pax, "linkpath") ?? longLink ?? decode(header.linkName, "a link name")) : "",
    deviceMajor: header.deviceMajor,
    deviceMinor: header.deviceMinor,
    xattrs,
    content: () => body.chunks(),
  };
}

function paxText(pax: ReadonlyMap<string, Buffer>, key: string): string | undefined {
  const value = pax.get(key);
  return value === undefined || value.length === 0 ? undefined : decode(value, `PAX ${key}`);
}

function paxNumber(pax: ReadonlyMap<string, Buffer>, key: string): number | undefined {
  const text = pax.get(key)?.toString("latin1");
  if (text === undefined || text === "") return undefined;
  if (!/^-?[0-9]{1,20}(?:\.[0-9]*)?$/.test(text)) throw invalid(`PAX ${key} is no number`);
  return Number(text);
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

function decode(bytes: Buffer, what: string): string {
  let text: string;
  try {
    text = utf8.decode(bytes);
  } catch (cause) {
    throw new TesseraError("Invalid", `${what} is not UTF-8: ${JSON.stringify(bytes.toString("latin1"))}`, { cause });
  }
  if (text.includes("\0")) throw invalid(`${what} holds a NUL byte`);
  return text;
}

// ---- content ----

/** The bytes that belong to the entry at hand. */
class Body {
  readonly #bytes: ByteSource;
  #left = 0;
  #padding = 0;

  constructor(bytes: ByteSource) {
    this.#bytes = bytes;
  }

  begin(size: number): void {
    this.#left = size;
    this.#padding = padding(size);
  }

  async *chunks(): AsyncGenerator<Buffer> {
    while (this.#left > 0) {
      const chunk = await this.#bytes.some(this.#left);
      if (chunk === undefined) throw cutShort();
      this.#left -= chunk.length;
      yield chunk;
    }
  }

  async finish(): Promise<void> {
    if (!(await this.#bytes.skip(this.#left))) throw cutShort();
    // umoci leaves out what fills the last block; the next look for a header finds the end.
    await this.#bytes.skip(this.#padding);
  }
}

function padding(size: number): number {
  return (BLOCK - (size % BLOCK)) % BLOCK;
}

function cutShort(): TesseraError {
  return invalid("it ends in the middle of an entry");
}

function invalid(message: string): TesseraError {
  return new TesseraError("Invalid", message);
}

/**
 * Unpacks image layers: each uncompressed layer once, into a folder named by its digest, as overlayfs wants it
 * (whiteouts as 0:0 devices, opaque folders by attribute; image-spec "layer.md").
 */
import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { open } from "node:fs/promises";
import { posix } from "node:path";
import { type Duplex, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { TesseraError } from "@tessera/proto";
import type { LayerEntryAttributes, LayerWriter } from "@tessera/runtime-native";
import { type Extract, extract, type Header } from "tar-stream";
import { contentOf, type TarEntry } from "./archive.ts";

export interface LayerLimits {
  /** Entries in one layer. */
  readonly maxEntries: number;
  /** Bytes of one layer once unpacked. */
  readonly maxBytes: number;
}

/**
 * Writes the layer in `blobPath` through `writer`. Throws TesseraError "Invalid" when the uncompressed bytes are not `diffId`, when a name
 * climbs out of the layer, or when a limit is passed; the caller throws the folder away.
 */
export async function unpackLayer(
  blobPath: string,
  diffId: string,
  writer: LayerWriter,
  limits: LayerLimits,
  signal: AbortSignal,
): Promise<void> {
  const hash = createHash("sha256");
  let bytes = 0;
  const measure = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      bytes += chunk.length;
      hash.update(chunk);
      if (bytes > limits.maxBytes) done(new TesseraError("Invalid", `layer ${diffId} unpacks to more than ${limits.maxBytes} bytes`));
      else done(null, chunk);
    },
  });
  const tar = extract();
  const stages: Duplex[] = [...(await decompressor(blobPath)), measure];
  const feeding = pipeline([createReadStream(blobPath), ...stages, tar], { signal });
  // A failure of either side ends both; the feeder's reason is the first one, so it is the one reported.
  const applying = applyEntries(tar, writer, limits, diffId).catch((error: unknown) => {
    tar.destroy();
    throw error;
  });
  const [fed, applied] = await Promise.allSettled([feeding, applying]);
  if (applied.status === "rejected" && !isStreamClosed(applied.reason)) throw asInvalidLayer(applied.reason, diffId);
  if (fed.status === "rejected") throw asInvalidLayer(fed.reason, diffId);

  const digest = `sha256:${hash.digest("hex")}`;
  if (digest !== diffId)
    throw new TesseraError("Invalid", `layer digest mismatch: the configuration says ${diffId}, the layer is ${digest}`);
}

async function applyEntries(tar: Extract, writer: LayerWriter, limits: LayerLimits, diffId: string): Promise<void> {
  let entries = 0;
  for await (const entry of tar) {
    if (++entries > limits.maxEntries) throw new TesseraError("Invalid", `layer ${diffId} has more than ${limits.maxEntries} entries`);
    await applyEntry(entry, writer, diffId);
    entry.resume();
  }
}

const whiteoutPrefix = ".wh.";
const opaqueName = ".wh..wh..opq";

async function applyEntry(entry: TarEntry, writer: LayerWriter, diffId: string): Promise<void> {
  const { header } = entry;
  const path = layerPath(header.name, diffId);
  const name = posix.basename(path);
  if (name === opaqueName) return await writer.opaque(posix.dirname(path));
  if (name.startsWith(whiteoutPrefix)) {
    const hidden = name.slice(whiteoutPrefix.length);
    if (hidden === "" || hidden === "." || hidden === "..")
      throw new TesseraError("Invalid", `layer ${diffId}: "${header.name}" hides no file`);
    // Names that begin with .wh..wh. are aufs' own bookkeeping.
    if (hidden.startsWith(whiteoutPrefix)) return;
    return await writer.whiteout(posix.join(posix.dirname(path), hidden));
  }
  const attributes = entryAttributes(header);
  switch (header.type) {
    case "directory":
      return await writer.directory(path, attributes);
    case "file":
    case "contiguous-file":
      return await writeFile(contentOf(entry), await writer.file(path, attributes));
    case "symlink":
      return await writer.symlink(path, header.linkname ?? "", attributes);
    case "link":
      return await writer.hardlink(path, layerPath(header.linkname ?? "", diffId));
    case "character-device":
      return await writer.device(path, "char", header.devmajor ?? 0, header.devminor ?? 0, attributes);
    case "block-device":
      return await writer.device(path, "block", header.devmajor ?? 0, header.devminor ?? 0, attributes);
    case "fifo":
      return await writer.device(path, "fifo", 0, 0, attributes);
    default:
      throw new TesseraError("Invalid", `layer ${diffId}: "${header.name}" is of unknown type ${header.type}`);
  }
}

/** A path below the layer's root. Absolute names and ".." are refused rather than bent into shape. */
function layerPath(name: string, diffId: string): string {
  if (name.includes("\0")) throw new TesseraError("Invalid", `layer ${diffId}: a name holds a NUL byte`);
  if (name.startsWith("/")) throw new TesseraError("Invalid", `layer ${diffId}: "${name}" is an absolute name`);
  if (name.split("/").includes("..")) throw new TesseraError("Invalid", `layer ${diffId}: "${name}" climbs out of the layer`);
  return posix.normalize(name).replace(/\/$/, "");
}

const xattrPrefix = "SCHILY.xattr.";

/** Only attributes that mean something in an image: overlayfs' own would let a layer rewrite its neighbours. */
const keptXattr = /^(?:security\.capability|user\..+)$/;

function entryAttributes(header: Header): LayerEntryAttributes {
  const xattrs: Record<string, Uint8Array> = {};
  for (const [key, value] of Object.entries((header.pax ?? {}) as Readonly<Record<string, string>>)) {
    const name = key.startsWith(xattrPrefix) ? key.slice(xattrPrefix.length) : "";
    if (keptXattr.test(name)) xattrs[name] = Buffer.from(value, "latin1");
  }
  return {
    mode: (header.mode ?? 0o755) & 0o7777,
    uid: header.uid ?? 0,
    gid: header.gid ?? 0,
    mtime: (header.mtime?.getTime() ?? 0) / 1000,
    xattrs,
  };
}

async function writeFile(content: AsyncIterable<Buffer>, fd: number): Promise<void> {
  // The stream owns the descriptor from here on and closes it on success and on failure.
  await pipeline(content, createWriteStream("", { fd, autoClose: true }));
}

async function decompressor(blobPath: string): Promise<Duplex[]> {
  const magic = Buffer.alloc(4);
  const file = await open(blobPath);
  try {
    await file.read(magic, 0, 4, 0);
  } finally {
    await file.close();
  }
  if (magic[0] === 0x1f && magic[1] === 0x8b) return [createGunzip()];
  if (magic.readUInt32LE() === 0xfd2fb528) return [createZstdDecompress()];
  return [];
}

function isStreamClosed(error: unknown): boolean {
  const code = (error as { code?: unknown }).code;
  return (
    code === "ERR_STREAM_PREMATURE_CLOSE" ||
    code === "ABORT_ERR" ||
    (error instanceof Error && error.message === "Writable stream closed prematurely")
  );
}

function asInvalidLayer(error: unknown, diffId: string): unknown {
  if (error instanceof TesseraError || !(error instanceof Error) || isNodeFault(error)) return error;
  return new TesseraError("Invalid", `layer ${diffId} cannot be read: ${error.message}`, { cause: error });
}

/** Errors of system calls and aborts are the node's, not the layer's. */
function isNodeFault(error: Error): boolean {
  return error.name === "AbortError" || error.name === "RuntimeError" || typeof (error as NodeJS.ErrnoException).syscall === "string";
}

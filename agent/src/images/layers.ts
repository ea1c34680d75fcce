/**
 * Unpacks image layers: each uncompressed layer once, into a folder named by its digest, as overlayfs wants it
 * (whiteouts as 0:0 devices, opaque folders by attribute; image-spec "layer.md").
 */
import { createHash, type Hash } from "node:crypto";
import { close, createReadStream, write } from "node:fs";
import { lstat, open } from "node:fs/promises";
import { join, posix } from "node:path";
import { type Duplex, pipeline, type Readable } from "node:stream";
import { promisify } from "node:util";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { TesseraError } from "@tessera/proto";
import { type LayerEntryAttributes, type LayerWriter, RuntimeError } from "@tessera/runtime-native";
import { isNodeFault } from "./node-fault.ts";
import { readTar, type TarEntry } from "./tar-reader.ts";

export interface LayerLimits {
  /** Entries in one layer. */
  readonly maxEntries: number;
  /** Bytes of one layer once unpacked. */
  readonly maxBytes: number;
}

export interface LayerSource {
  /** File with the layer as it came: tar, gzip or zstd, told apart by its first bytes as all image tools do. */
  readonly blobPath: string;
  /** Digest of the uncompressed bytes. */
  readonly diffId: string;
}

export interface UnpackOptions {
  /** Empty folder that the entries go to. */
  readonly root: string;
  /** Writes below `root`. */
  readonly writer: LayerWriter;
  readonly limits: LayerLimits;
  readonly signal: AbortSignal;
}

/**
 * Writes the layer's entries. Throws TesseraError "Invalid" when the uncompressed bytes are not `diffId`, when a name climbs out of the
 * layer, when anything in it cannot be reproduced, or when a limit is passed; the caller throws the folder away.
 */
export async function unpackLayer(source: LayerSource, options: UnpackOptions): Promise<void> {
  await readLayer(source, options, async (bytes) => await new LayerApplier(options).apply(readTar(bytes)));
}

/** Throws TesseraError "Invalid" when the uncompressed bytes are not `diffId`; writes nothing. */
export async function verifyLayer(source: LayerSource, options: Pick<UnpackOptions, "limits" | "signal">): Promise<void> {
  await readLayer(source, options, async (bytes) => {
    for await (const _ of bytes);
  });
}

async function readLayer(
  { blobPath, diffId }: LayerSource,
  { limits, signal }: Pick<UnpackOptions, "limits" | "signal">,
  consume: (bytes: AsyncIterable<Buffer>) => Promise<void>,
): Promise<void> {
  const hash = createHash("sha256");
  try {
    await consume(measured(await openUncompressed(blobPath, signal), hash, limits.maxBytes));
  } catch (error) {
    signal.throwIfAborted();
    throw asLayerError(error, diffId);
  }
  const digest = `sha256:${hash.digest("hex")}`;
  if (digest !== diffId)
    throw new TesseraError("Invalid", `layer digest mismatch: the configuration says ${diffId}, the layer is ${digest}`);
}

async function* measured(bytes: Readable, hash: Hash, maxBytes: number): AsyncGenerator<Buffer> {
  let count = 0;
  // What a stream of bytes yields is a buffer; its type does not say so.
  for await (const chunk of bytes as AsyncIterable<Buffer>) {
    count += chunk.length;
    if (count > maxBytes) throw new TesseraError("Invalid", `it unpacks to more than ${maxBytes} bytes`);
    hash.update(chunk);
    yield chunk;
  }
}

async function openUncompressed(blobPath: string, signal: AbortSignal): Promise<Readable> {
  const decompress = await decompressor(blobPath);
  const file = createReadStream(blobPath, { highWaterMark: 256 << 10, signal });
  // The reader of the last stream hears of any failure; nothing is left to do here.
  return decompress === undefined ? file : pipeline(file, decompress, () => undefined);
}

async function decompressor(blobPath: string): Promise<Duplex | undefined> {
  const magic = Buffer.alloc(4);
  const file = await open(blobPath);
  try {
    await file.read(magic, 0, 4, 0);
  } finally {
    await file.close();
  }
  if (magic[0] === 0x1f && magic[1] === 0x8b) return createGunzip({ chunkSize: 256 << 10 });
  if (magic.readUInt32LE() === 0xfd2fb528) return createZstdDecompress({ chunkSize: 256 << 10 });
  return undefined;
}

const whiteoutPrefix = ".wh.";
/** Names that begin so are aufs' own bookkeeping, but for the mark of an opaque folder. */
const metadataPrefix = ".wh..wh.";
const opaqueName = ".wh..wh..opq";

/** Applies the entries of one layer, one after the other. */
class LayerApplier {
  readonly #options: UnpackOptions;
  /** Paths that the layer hides of those below it. */
  readonly #whiteouts: string[] = [];

  constructor(options: UnpackOptions) {
    this.#options = options;
  }

  async apply(entries: AsyncIterable<TarEntry>): Promise<void> {
    const { limits, writer } = this.#options;
    let count = 0;
    for await (const entry of entries) {
      if (++count > limits.maxEntries) throw new TesseraError("Invalid", `it has more than ${limits.maxEntries} entries`);
      await this.#add(entry);
    }
    for (const path of this.#whiteouts) await this.#hide(path);
    await writer.finish();
  }

  async #add(entry: TarEntry): Promise<void> {
    const { writer } = this.#options;
    const path = layerPath(entry.name);
    const name = posix.basename(path);
    const folder = posix.dirname(path);
    if (folder.split("/").some((part) => part.startsWith(metadataPrefix))) return;
    if (name === opaqueName) return await this.#makeOpaque(folder);
    if (name.startsWith(metadataPrefix)) return;
    if (folder.split("/").some((part) => part.startsWith(whiteoutPrefix)))
      throw new TesseraError("Invalid", `"${entry.name}" lies below the mark of a hidden name`);
    if (name.startsWith(whiteoutPrefix)) {
      const hidden = name.slice(whiteoutPrefix.length);
      if (hidden === "" || hidden === "." || hidden === "..") throw new TesseraError("Invalid", `"${entry.name}" hides no file`);
      this.#whiteouts.push(posix.join(folder, hidden));
      return;
    }
    const attributes = attributesOf(entry);
    switch (entry.type) {
      case "directory":
        return await writer.directory(path, attributes);
      case "file":
        return await this.#writeFile(path, entry, attributes);
      case "symlink":
        return await writer.symlink(path, linkTarget(entry), attributes);
      case "link":
        return await writer.hardlink(path, layerPath(entry.linkName));
      case "char":
      case "block":
      case "fifo":
        return await writer.device(path, entry.type, entry.deviceMajor, entry.deviceMinor, attributes);
    }
  }

  async #writeFile(path: string, entry: TarEntry, attributes: LayerEntryAttributes): Promise<void> {
    const { writer, signal } = this.#options;
    const fd = await writer.file(path, attributes);
    try {
      for await (const chunk of entry.content()) {
        signal.throwIfAborted();
        for (let at = 0; at < chunk.length; ) at += (await writeFd(fd, chunk, at)).bytesWritten;
      }
    } catch (error) {
      await closeFd(fd);
      throw error;
    }
    await writer.finishFile(path, fd, attributes);
  }

  /**
   * The kernel does not look for this attribute on a layer's own root, so that nothing would be hidden. No tool makes such layers of
   * whole images; to guess would show files that the image's maker removed.
   */
  async #makeOpaque(folder: string): Promise<void> {
    if (folder === ".") throw new TesseraError("Invalid", "it hides all layers below it; such layers are not supported");
    await this.#options.writer.opaque(folder);
  }

  /**
   * A whiteout speaks of the layers below, never of its own layer, wherever it stands in the archive: a file of the same name hides
   * what is below by itself, a folder of the same name must be opaque for that.
   */
  async #hide(path: string): Promise<void> {
    const { writer } = this.#options;
    const own = await this.#find(path);
    if (own === "folder") await writer.opaque(path);
    else if (own === "nothing") await writer.whiteout(path);
  }

  async #find(path: string): Promise<"nothing" | "folder" | "other"> {
    let at = this.#options.root;
    const parts = path.split("/");
    for (const [i, part] of parts.entries()) {
      at = join(at, part);
      const found = await lstat(at).catch((error: NodeJS.ErrnoException) => {
        if (error.code === "ENOENT") return undefined;
        throw error;
      });
      if (found === undefined) return "nothing";
      const isLast = i === parts.length - 1;
      if (isLast) return found.isDirectory() ? "folder" : "other";
      // Anything else would be followed, or replaced, to no good end.
      if (!found.isDirectory())
        throw new TesseraError("Invalid", `"${path}" is to be hidden, but "${parts.slice(0, i + 1).join("/")}" is no folder`);
    }
    return "folder";
  }
}

const writeFd = promisify(write) as (fd: number, chunk: Buffer, offset: number) => Promise<{ bytesWritten: number }>;
const closeFd = promisify(close);

/** What the kernel takes, less the byte that ends a name. */
const MAX_PATH_BYTES = 4095;
const MAX_NAME_BYTES = 255;

/** A path below the layer's root. Absolute names and ".." are refused rather than bent into shape. */
function layerPath(name: string): string {
  const bytes = Buffer.byteLength(name);
  if (bytes > MAX_PATH_BYTES)
    throw new TesseraError("Invalid", `the name "${name.slice(0, 40)}..." is ${bytes} bytes long; the kernel takes ${MAX_PATH_BYTES}`);
  if (name.startsWith("/")) throw new TesseraError("Invalid", `"${name}" is an absolute name`);
  const parts = name.split("/");
  if (parts.includes("..")) throw new TesseraError("Invalid", `"${name}" climbs out of the layer`);
  const long = parts.find((part) => Buffer.byteLength(part) > MAX_NAME_BYTES);
  if (long !== undefined)
    throw new TesseraError(
      "Invalid",
      `the name "${long.slice(0, 40)}..." is ${Buffer.byteLength(long)} bytes long; the kernel takes ${MAX_NAME_BYTES}`,
    );
  return posix.normalize(name).replace(/\/$/, "");
}

/** Where a symlink leads is for the container to see; what it says must be sayable. */
function linkTarget({ name, linkName }: TarEntry): string {
  const bytes = Buffer.byteLength(linkName);
  if (bytes === 0 || bytes > MAX_PATH_BYTES) throw new TesseraError("Invalid", `the symlink "${name}" has a target of ${bytes} bytes`);
  return linkName;
}

/** Only attributes that mean something in an image: overlayfs' own would let a layer rewrite its neighbours. */
const keptXattr = /^(?:security\.capability|user\.(?!overlay\.).+)$/;

function attributesOf(entry: TarEntry): LayerEntryAttributes {
  return {
    mode: entry.mode & 0o7777,
    uid: entry.uid,
    gid: entry.gid,
    mtime: entry.mtime,
    xattrs: Object.fromEntries([...entry.xattrs].filter(([name]) => keptXattr.test(name))),
  };
}

/** Says which layer, and tells what is wrong with it from what is wrong with the node. */
function asLayerError(error: unknown, diffId: string): unknown {
  if (error instanceof TesseraError) return new TesseraError(error.reason, `layer ${diffId}: ${error.message}`, { cause: error.cause });
  if (error instanceof RuntimeError && !isNodeFault(error))
    return new TesseraError("Invalid", `layer ${diffId}: ${error.message}`, { cause: error });
  if (!(error instanceof Error) || isNodeFault(error)) return error;
  return new TesseraError("Invalid", `layer ${diffId} cannot be read: ${error.message}`, { cause: error });
}

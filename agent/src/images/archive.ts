/**
 * Reads an image archive into a staging folder. Members may come in any order and any name, so they are kept under numbers
 * and found by name through a map: no name from the archive ever becomes a path on the node.
 */
import { createHash } from "node:crypto";
import { open, readFile } from "node:fs/promises";
import { join, posix } from "node:path";
import { addAbortSignal, Readable } from "node:stream";
import { TesseraError } from "@tessera/proto";
import { MAX_METADATA_BYTES } from "./manifest.ts";
import { readTar } from "./tar-reader.ts";

/** A member that was written to the staging folder. */
export interface StagedFile {
  readonly path: string;
  readonly size: number;
  /** "sha256:..." of its bytes. */
  readonly digest: string;
}

export interface Archive {
  find(name: string): StagedFile | undefined;
  /** A member with metadata. Throws TesseraError "Invalid" when there is none, or when it is too large to be that. */
  read(name: string): Promise<Buffer>;
}

/** Bounds against archives made to hurt; an image beyond them is refused with a word. */
export interface ArchiveLimits {
  readonly maxMembers: number;
  readonly maxBytes: number;
}

export async function stageArchive(
  source: AsyncIterable<Uint8Array>,
  folder: string,
  limits: ArchiveLimits,
  signal: AbortSignal,
): Promise<Archive> {
  const files = new Map<string, StagedFile>();
  const links = new Map<string, string>();
  const input = addAbortSignal(signal, Readable.from(source, { objectMode: true }));
  let bytes = 0;
  let members = 0;
  try {
    for await (const entry of readTar(input)) {
      if (++members > limits.maxMembers) throw new TesseraError("Invalid", `it has more than ${limits.maxMembers} members`);
      const name = posix.normalize(entry.name).replace(/^\.\//, "");
      // Old `docker save` writes a layer that two images share once, and a link for the second.
      if (entry.type === "symlink") links.set(name, posix.join(posix.dirname(name), entry.linkName));
      if (entry.type === "link") links.set(name, posix.normalize(entry.linkName));
      if (entry.type !== "file") continue;
      bytes += entry.size;
      if (bytes > limits.maxBytes) throw new TesseraError("Invalid", `it is larger than ${limits.maxBytes} bytes`);
      files.set(name, await stageFile(entry.content(), join(folder, String(members))));
    }
  } catch (error) {
    if (!(error instanceof TesseraError) || error.reason !== "Invalid") throw error;
    const what = members === 0 ? "not a tar archive" : "the archive is not sound";
    throw new TesseraError("Invalid", `${what}: ${error.message}`, { cause: error.cause });
  }

  const find = (name: string) => files.get(name) ?? files.get(links.get(name) ?? "");
  return {
    find,
    async read(name) {
      const file = find(name);
      if (!file) throw new TesseraError("Invalid", `the archive has no member "${name}"`);
      return await readMetadata(file, name);
    },
  };
}

export async function readMetadata({ path, size }: StagedFile, what: string): Promise<Buffer> {
  if (size > MAX_METADATA_BYTES) throw new TesseraError("Invalid", `${what} is ${size} bytes long; at most ${MAX_METADATA_BYTES} are read`);
  return await readFile(path);
}

async function stageFile(content: AsyncIterable<Uint8Array>, path: string): Promise<StagedFile> {
  const hash = createHash("sha256");
  let size = 0;
  const file = await open(path, "wx", 0o600);
  try {
    for await (const chunk of content) {
      hash.update(chunk);
      size += chunk.length;
      await file.writeFile(chunk);
    }
  } finally {
    await file.close();
  }
  return { path, size, digest: `sha256:${hash.digest("hex")}` };
}

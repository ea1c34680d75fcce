/**
 * Reads an image archive into a staging folder. Members may come in any order and any name, so they are kept under numbers
 * and found by name through a map: no name from the archive ever becomes a path on the node.
 */
import { createHash } from "node:crypto";
import { open, readFile } from "node:fs/promises";
import { join, posix } from "node:path";
import { Readable } from "node:stream";
import { TesseraError } from "@tessera/proto";
import { type Extract, extract } from "tar-stream";

/** A member that was written to the staging folder. */
export interface StagedFile {
  readonly path: string;
  readonly size: number;
  /** "sha256:..." of its bytes. */
  readonly digest: string;
}

export interface Archive {
  find(name: string): StagedFile | undefined;
  /** Throws TesseraError "Invalid" when there is no such member. */
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
  const unpack = extract();
  const input = Readable.from(source);
  input.once("error", (error) => unpack.destroy(error));
  const abort = () => unpack.destroy(signal.reason);
  signal.addEventListener("abort", abort, { once: true });
  try {
    let bytes = 0;
    let members = 0;
    for await (const entry of input.pipe(unpack)) {
      if (++members > limits.maxMembers) throw new TesseraError("Invalid", `the archive has more than ${limits.maxMembers} members`);
      const name = posix.normalize(entry.header.name).replace(/^\.\//, "");
      // Old `docker save` writes a layer that two images share once, and a link for the second.
      if (entry.header.type === "symlink" || entry.header.type === "link") {
        const target = entry.header.linkname ?? "";
        links.set(name, entry.header.type === "symlink" ? posix.join(posix.dirname(name), target) : posix.normalize(target));
      }
      if (entry.header.type !== "file") {
        entry.resume();
        continue;
      }
      bytes += entry.header.size ?? 0;
      if (bytes > limits.maxBytes) throw new TesseraError("Invalid", `the archive is larger than ${limits.maxBytes} bytes`);
      files.set(name, await stageFile(contentOf(entry), join(folder, String(members))));
    }
  } catch (error) {
    if (signal.aborted || error instanceof TesseraError || isNodeError(error)) throw error;
    throw new TesseraError("Invalid", `not a tar archive: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  } finally {
    signal.removeEventListener("abort", abort);
    input.destroy();
  }

  const find = (name: string) => files.get(name) ?? files.get(links.get(name) ?? "");
  return {
    find,
    async read(name) {
      const file = find(name);
      if (!file) throw new TesseraError("Invalid", `the archive has no member "${name}"`);
      return await readFile(file.path);
    },
  };
}

/** A member of an archive that is being read. */
export type TarEntry = Extract extends AsyncIterable<infer Entry> ? Entry : never;

/** A member's bytes; streamx types its chunks as unknown although a tar parser only ever yields buffers. */
export function contentOf(entry: TarEntry): AsyncIterable<Buffer> {
  return entry as AsyncIterable<unknown> as AsyncIterable<Buffer>;
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

/** A system call failed (disk full, no permission): the node's trouble, not the archive's. */
function isNodeError(error: unknown): boolean {
  return error instanceof Error && typeof (error as NodeJS.ErrnoException).syscall === "string";
}

import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { pipeline } from "node:stream/promises";
import { constants, createGzip } from "node:zlib";
import { type Pack, pack } from "tar-stream";

/** One file of the archive. */
export interface ArchiveEntry {
  /** Below the archive's folder: "bin/node". */
  readonly path: string;
  readonly executable: boolean;
  readonly content: { readonly file: string } | { readonly bytes: Buffer };
}

export interface ArchiveOptions {
  /** Name of the one folder that everything is in. */
  readonly folder: string;
  /** Seconds since the epoch: the modification time of everything (https://reproducible-builds.org/specs/source-date-epoch). */
  readonly epoch: number;
  /** 1 to 9. */
  readonly level?: number;
}

/** What `sha256sum --check` reads, for all entries in their order. */
export async function checksums(entries: readonly ArchiveEntry[]): Promise<Buffer> {
  let text = "";
  for (const entry of entries) text += `${await digest(entry)}  ${entry.path}\n`;
  return Buffer.from(text);
}

async function digest({ content }: ArchiveEntry): Promise<string> {
  const hash = createHash("sha256");
  if ("bytes" in content) hash.update(content.bytes);
  else await pipeline(createReadStream(content.file), hash);
  return hash.digest("hex");
}

/**
 * Writes a gzipped tar of the entries. The same entries and options give the same bytes: order by path, one time, root's, and no more of modes
 * than whether something may be executed.
 */
export async function writeArchive(
  entries: readonly ArchiveEntry[],
  options: ArchiveOptions,
  output: NodeJS.WritableStream,
): Promise<void> {
  const tar = pack();
  // gzip's header has neither a name nor a time: zlib writes zeros.
  const compressed = pipeline(tar, createGzip({ level: options.level ?? constants.Z_DEFAULT_COMPRESSION }), output);
  const added = addEntries(tar, entries, options).catch((error: unknown) => {
    tar.destroy(error as Error);
    throw error;
  });
  await Promise.all([compressed, added]);
}

async function addEntries(tar: Pack, entries: readonly ArchiveEntry[], { folder, epoch }: ArchiveOptions): Promise<void> {
  const common = { mtime: new Date(epoch * 1000), uid: 0, gid: 0, uname: "root", gname: "root" };
  const sorted = entries.toSorted((a, b) => (a.path < b.path ? -1 : 1));
  for (const path of [folder, ...foldersOf(sorted).map((path) => `${folder}/${path}`)])
    tar.entry({ ...common, name: `${path}/`, type: "directory", mode: 0o755 });
  for (const { path, executable, content } of sorted) {
    const header = { ...common, name: `${folder}/${path}`, mode: executable ? 0o755 : 0o644 };
    if ("bytes" in content) {
      tar.entry(header, content.bytes);
      continue;
    }
    const { size } = await stat(content.file);
    await pipeline(createReadStream(content.file), tar.entry({ ...header, size }));
  }
  tar.finalize();
}

/** All folders above the entries, each before what is in it. */
function foldersOf(entries: readonly ArchiveEntry[]): string[] {
  const folders = new Set<string>();
  for (const { path } of entries) {
    const parts = path.split("/");
    for (let depth = 1; depth < parts.length; depth++) folders.add(parts.slice(0, depth).join("/"));
  }
  return [...folders].sort();
}

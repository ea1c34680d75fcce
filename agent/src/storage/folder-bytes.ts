import { constants } from "node:fs";
import { type FileHandle, lstat, open, opendir } from "node:fs/promises";

/** Each level holds a descriptor. Who nests deeper has no data there but something to hide. */
const MAX_DEPTH = 256;
const BLOCK_BYTES = 512;

interface Count {
  bytes: number;
  readonly enoughBytes: number;
  readonly device: number;
  /** Files with several names, counted once. */
  readonly linked: Set<number>;
  readonly signal: AbortSignal;
}

/**
 * Bytes that a folder and all below it take on its disk; stops beyond `enoughBytes`, and is Infinity for a tree that is too deep to be read.
 * By descriptors and without following links or leaving the file system: containers may change the tree as they like meanwhile.
 */
export async function folderBytes(path: string, enoughBytes: number, signal: AbortSignal): Promise<number> {
  const folder = await openFolder(path);
  try {
    const { dev } = await folder.stat();
    const count: Count = { bytes: 0, enoughBytes, device: dev, linked: new Set(), signal };
    await addFolder(folder, count, 0);
    return count.bytes;
  } finally {
    await folder.close();
  }
}

async function addFolder(folder: FileHandle, count: Count, depth: number): Promise<void> {
  if (depth > MAX_DEPTH) {
    count.bytes = Number.POSITIVE_INFINITY;
    return;
  }
  const below = `/proc/self/fd/${folder.fd}`;
  // Names are bytes, and latin1 keeps them all.
  for await (const entry of await opendir(`${below}/.`, { encoding: "latin1" })) {
    if (count.bytes > count.enoughBytes) return;
    count.signal.throwIfAborted();
    await addEntry(Buffer.from(`${below}/${entry.name}`, "latin1"), count, depth).catch(ignoreChanges);
  }
}

async function addEntry(path: Buffer, count: Count, depth: number): Promise<void> {
  const { dev, ino, nlink, blocks, ...stats } = await lstat(path);
  if (dev !== count.device) return;
  const isFolder = (stats.mode & constants.S_IFMT) === constants.S_IFDIR;
  if (!isFolder && nlink > 1) {
    if (count.linked.has(ino)) return;
    count.linked.add(ino);
  }
  count.bytes += blocks * BLOCK_BYTES;
  if (!isFolder) return;
  const folder = await openFolder(path);
  try {
    await addFolder(folder, count, depth + 1);
  } finally {
    await folder.close();
  }
}

function openFolder(path: string | Buffer): Promise<FileHandle> {
  return open(path, constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
}

/** What was removed or exchanged between two looks is not there. */
function ignoreChanges(error: NodeJS.ErrnoException): void {
  if (!["ENOENT", "ENOTDIR", "ELOOP"].includes(error.code ?? "")) throw error;
}

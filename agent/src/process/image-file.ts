import { constants } from "node:fs";
import { lstat, open, readlink } from "node:fs/promises";
import { join } from "node:path";
import { TesseraError } from "@tessera/proto";

const MAX_LINKS = 40;

/**
 * Reads a file of an image out of its layer folders, as a container would see it. Every symlink is followed inside the layers by hand and
 * nothing but a regular file is opened, so an image can neither point out of itself nor at a pipe. Layers do not change once they are
 * unpacked, so there is no race between looking and opening. Undefined when there is no such file; throws TesseraError "Invalid" when it is
 * longer than `maxBytes` or no regular file.
 */
export async function readImageFile(lower: readonly string[], path: string, maxBytes: number): Promise<string | undefined> {
  let pending = parts(path);
  let resolved: string[] = [];
  let links = 0;
  while (pending.length > 0) {
    const [name, ...rest] = pending;
    if (name === undefined) break;
    pending = rest;
    if (name === "..") {
      resolved = resolved.slice(0, -1);
      continue;
    }
    const found = await findInLayers(lower, [...resolved, name]);
    if (found === undefined) return undefined;
    if (found.kind === "symlink") {
      links += 1;
      if (links > MAX_LINKS) throw new TesseraError("Invalid", `${path} in the image: too many symbolic links`);
      const target = await readlink(found.path);
      if (target.startsWith("/")) resolved = [];
      pending = [...parts(target), ...pending];
      continue;
    }
    if (pending.length === 0) return await readRegular(found, path, maxBytes);
    if (found.kind !== "folder") return undefined;
    resolved.push(name);
  }
  throw new TesseraError("Invalid", `${path} in the image is a folder`);
}

function parts(path: string): string[] {
  return path.split("/").filter((part) => part !== "" && part !== ".");
}

interface Found {
  readonly kind: "folder" | "file" | "symlink" | "other";
  readonly path: string;
}

/** The topmost layer decides; a whiteout (a 0:0 character device) on the way hides what is below. */
async function findInLayers(lower: readonly string[], names: readonly string[]): Promise<Found | undefined> {
  for (const layer of lower) {
    let hidden = false;
    for (let depth = 1; depth <= names.length; depth += 1) {
      const path = join(layer, ...names.slice(0, depth));
      const stats = await lstat(path).catch(() => undefined);
      if (stats === undefined) break;
      if (stats.isCharacterDevice() && stats.rdev === 0) return undefined;
      if (depth === names.length) return { kind: kindOf(stats), path };
      // The upper layer has something else where the lower ones may have a folder.
      if (!stats.isDirectory()) hidden = true;
      if (hidden) break;
    }
    if (hidden) return undefined;
  }
  return undefined;
}

function kindOf(stats: { isDirectory(): boolean; isFile(): boolean; isSymbolicLink(): boolean }): Found["kind"] {
  if (stats.isSymbolicLink()) return "symlink";
  if (stats.isDirectory()) return "folder";
  return stats.isFile() ? "file" : "other";
}

async function readRegular(found: Found, path: string, maxBytes: number): Promise<string> {
  if (found.kind !== "file") throw new TesseraError("Invalid", `${path} in the image is not a regular file`);
  const file = await open(found.path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK);
  try {
    const { size } = await file.stat();
    if (size > maxBytes) throw new TesseraError("Invalid", `${path} in the image has ${size} bytes; at most ${maxBytes} are read`);
    return await file.readFile("utf8");
  } finally {
    await file.close();
  }
}

/**
 * Writes what a pod sends to this machine. The archive is a stranger's: names that climb out are refused, nothing is written through a link
 * that lies in the destination, and links that it brings are not made, for what came after could be written through them.
 */
import { constants } from "node:fs";
import { copyFile, lstat, mkdir, open, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { TesseraError } from "@tessera/proto";
import type { Source } from "./archive.ts";

export interface UnpackOptions {
  /** Where the entry that is called `name` goes. */
  readonly destination: string;
  /** The file or folder that was asked for, as the archive calls it. */
  readonly name: string;
  /** Gives files the modes that they have in the pod, but never set-uid or set-gid. */
  readonly preserve: boolean;
  readonly onSkipped: (name: string, why: string) => void;
}

/** Writes all entries; returns how many files and folders there were. */
export async function unpackTree(archive: AsyncIterable<Source>, options: UnpackOptions): Promise<number> {
  const target = new Target(options.destination);
  let count = 0;
  for await (const source of archive) {
    const { name, type, mode, linkname } = source.header;
    const isFolder = type === "directory";
    const below = pathBelow(name, options.name);
    // As `cp` does it: a file that is copied to a folder goes into it.
    const path = below.length === 0 && !isFolder && (await target.isFolder()) ? [options.name] : below;
    const ownMode = options.preserve ? mode & 0o777 : undefined;
    if (isFolder) await target.makeFolder(path, ownMode);
    else if (type === "file" || type === "contiguous-file") await target.writeFile(path, source, ownMode);
    else if (type === "link") await target.copy(pathBelow(linkname, options.name), path);
    else options.onSkipped(name, type === "symlink" ? `a link to ${linkname}` : `a ${type}`);
    if (type !== "symlink") count++;
    source.resume();
  }
  return count;
}

/** Parts of an entry's path below the one that was asked for. */
function pathBelow(name: string, root: string): readonly string[] {
  const parts = name.split("/").filter((part) => part !== "" && part !== ".");
  if (name.startsWith("/") || parts.includes("..") || name.includes("\0"))
    throw new TesseraError("Invalid", `the pod sent "${name}", which leads out of the destination; nothing more is copied`);
  if (root === ".") return parts;
  if (parts[0] !== root) throw new TesseraError("Invalid", `the pod sent "${name}", which was not asked for; nothing more is copied`);
  return parts.slice(1);
}

class Target {
  readonly #root: string;
  /** Folders that are known to be no links. */
  readonly #known = new Set<string>();
  readonly #written = new Set<string>();

  constructor(root: string) {
    this.#root = root;
  }

  async isFolder(): Promise<boolean> {
    return await stat(this.#root).then(
      (stats) => stats.isDirectory(),
      () => false,
    );
  }

  async makeFolder(parts: readonly string[], mode: number | undefined): Promise<void> {
    let path = this.#root;
    // What the user named may be a link; what lies below it may not.
    if (parts.length === 0) await mkdir(path, { recursive: true });
    for (const [i, part] of parts.entries()) {
      if (i === 0) await mkdir(path, { recursive: true });
      path = join(path, part);
      if (this.#known.has(path)) continue;
      // Still to be written to by us, whatever its mode is in the pod.
      const own = i === parts.length - 1 && mode !== undefined ? mode | 0o700 : 0o777;
      await mkdir(path, { mode: own }).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== "EEXIST") throw error;
      });
      if (!(await lstat(path)).isDirectory())
        throw new TesseraError("Conflict", `${path} is in the way: a folder is to be there, and links are not followed`);
      this.#known.add(path);
    }
  }

  async writeFile(parts: readonly string[], content: AsyncIterable<Uint8Array>, mode: number | undefined): Promise<void> {
    await using file = await this.#create(parts, mode);
    for await (const chunk of content) await file.writeFile(chunk);
    if (mode !== undefined) await file.chmod(mode);
  }

  /** A further name of a file that came before. */
  async copy(from: readonly string[], to: readonly string[]): Promise<void> {
    const source = join(this.#root, ...from);
    if (!this.#written.has(source))
      throw new TesseraError("Invalid", `the pod sent "${to.join("/")}" as a further name of "${from.join("/")}", which did not come`);
    const { mode } = await lstat(source);
    await using file = await this.#create(to, mode);
    await copyFile(source, `/proc/self/fd/${file.fd}`);
    await file.chmod(mode);
  }

  async #create(parts: readonly string[], mode = 0o666) {
    if (parts.length > 0) await this.makeFolder(parts.slice(0, -1), undefined);
    const path = join(this.#root, ...parts);
    const { O_WRONLY, O_CREAT, O_TRUNC, O_NOFOLLOW, O_NONBLOCK } = constants;
    // The one that the user named may be a link of theirs.
    const follow = parts.length === 0 ? 0 : O_NOFOLLOW;
    const file = await open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK | follow, mode).catch((cause: NodeJS.ErrnoException) => {
      throw explain(cause, path);
    });
    this.#written.add(path);
    return file;
  }
}

function explain(cause: NodeJS.ErrnoException, path: string): Error {
  switch (cause.code) {
    case "ELOOP":
      return new TesseraError("Conflict", `${path} is a link, which is not followed: remove it, or copy to another place`, { cause });
    case "EISDIR":
      return new TesseraError("Conflict", `${path} is a folder; a file of that name was to be written`, { cause });
    case "ENOENT":
      return new TesseraError("NotFound", `there is no folder ${dirname(path)}`, { cause });
    default:
      return cause;
  }
}

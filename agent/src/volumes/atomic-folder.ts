import { createHash } from "node:crypto";
import { chmod, lchown, lstat, mkdir, readdir, readlink, rename, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { ContentFile } from "./content.ts";

const CURRENT = "..data";
const NEXT = "..data_next";

/**
 * Gives a folder exactly these files so that a reader sees either all old or all new ones, the way Kubernetes does it:
 *
 *     folder/..3f2a.../key     the files, in a folder named by their content
 *     folder/..data         -> ..3f2a...     replaced by rename: this is the moment of the change
 *     folder/key            -> ..data/key
 *
 * A crash at any point leaves the old or the new state; the next call clears up. Returns whether anything changed.
 */
export async function replaceContent(folder: string, files: readonly ContentFile[], gid: number | undefined): Promise<boolean> {
  const generation = `..${fingerprint(files, gid)}`;
  const names = new Set(files.map((file) => topName(file.path)));
  if ((await readdir(folder)).length === 0) {
    // A pod waits for this: nothing is there to be replaced or cleared up, and what does not depend on each other is done side by side.
    await writeGeneration(join(folder, generation), files, gid);
    await symlink(generation, join(folder, CURRENT));
    await Promise.all([...names].map((name) => symlink(join(CURRENT, name), join(folder, name))));
    return true;
  }
  const changed = (await currentGeneration(folder)) !== generation;
  if (changed) {
    // Left over from a crash before the change: it may be half written.
    await rm(join(folder, generation), { recursive: true, force: true });
    await writeGeneration(join(folder, generation), files, gid);
    await rm(join(folder, NEXT), { force: true });
    await symlink(generation, join(folder, NEXT));
    await rename(join(folder, NEXT), join(folder, CURRENT));
  }
  await linkNames(folder, names, generation);
  return changed;
}

/** The name of the folder that `..data` points to, undefined when there is none. */
export async function currentGeneration(folder: string): Promise<string | undefined> {
  try {
    const target = await readlink(join(folder, CURRENT));
    await lstat(join(folder, target));
    return target;
  } catch {
    return undefined;
  }
}

async function writeGeneration(path: string, files: readonly ContentFile[], gid: number | undefined): Promise<void> {
  await mkdir(path, { mode: 0o755 });
  await Promise.all(files.map((file) => writeContentFile(path, file, gid)));
}

async function writeContentFile(folder: string, file: ContentFile, gid: number | undefined): Promise<void> {
  const target = join(folder, file.path);
  if (file.path.includes("/")) await mkdir(dirname(target), { recursive: true, mode: 0o755 });
  const isOwned = gid !== undefined || file.uid !== undefined;
  const mode = gid === undefined ? file.mode : file.mode | 0o440;
  await writeFile(target, file.data, { mode: isOwned ? 0o600 : mode });
  if (isOwned) await lchown(target, file.uid ?? 0, gid ?? 0);
  // The agent's umask of 022 takes the right to write from group and others.
  if (isOwned || (mode & 0o022) !== 0) await chmod(target, mode);
}

async function linkNames(folder: string, names: ReadonlySet<string>, generation: string): Promise<void> {
  const present = await readdir(folder);
  for (const name of names) {
    const path = join(folder, name);
    const target = join(CURRENT, name);
    // A subPath of a key that was missing made a folder of its name.
    const isRight = present.includes(name) && (await readlink(path).catch(() => undefined)) === target;
    if (isRight) continue;
    await rm(path, { recursive: true, force: true });
    await symlink(target, path);
  }
  const stale = present.filter((name) => name !== CURRENT && name !== generation && !names.has(name));
  for (const name of stale) await rm(join(folder, name), { recursive: true, force: true });
}

function topName(path: string): string {
  return path.split("/", 1)[0] ?? path;
}

function fingerprint(files: readonly ContentFile[], gid: number | undefined): string {
  const hash = createHash("sha256").update(`${gid ?? ""}\0`);
  for (const file of [...files].sort((a, b) => (a.path < b.path ? -1 : 1))) {
    hash.update(`${file.path}\0${file.mode}\0${file.uid ?? 0}\0${file.data.length}\0`).update(file.data);
  }
  return hash.digest("hex").slice(0, 32);
}

import { mkdir, open, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { type HostPathVolumeSource, TesseraError } from "@tessera/proto";
import type { PreparedVolume } from "./volume.ts";

type FileTest = (stats: Awaited<ReturnType<typeof stat>>) => boolean;

const TESTS: Readonly<Record<string, FileTest>> = {
  Directory: (stats) => stats.isDirectory(),
  DirectoryOrCreate: (stats) => stats.isDirectory(),
  File: (stats) => stats.isFile(),
  FileOrCreate: (stats) => stats.isFile(),
  Socket: (stats) => stats.isSocket(),
  CharDevice: (stats) => stats.isCharacterDevice(),
  BlockDevice: (stats) => stats.isBlockDevice(),
};

/** A path of the node, of the kind that the volume asks for. What may be created is. */
export async function prepareHostPath({ path = "", type = "" }: HostPathVolumeSource): Promise<PreparedVolume> {
  if (!path.startsWith("/") || path.split("/").includes("..")) {
    throw new TesseraError("Invalid", `hostPath "${path}" must be absolute and without ".."`);
  }
  const test = TESTS[type];
  if (type !== "" && test === undefined) throw new TesseraError("Invalid", `hostPath type "${type}" is not known`);
  if (type === "" || type === "DirectoryOrCreate") await mkdirUnlessPresent(path);
  if (type === "FileOrCreate") await createFile(path);
  const stats = await stat(path).catch(() => undefined);
  if (stats === undefined) throw new TesseraError("NotFound", `hostPath ${path}: there is no such path on this node`);
  if (test !== undefined && !test(stats)) throw new TesseraError("Invalid", `hostPath ${path} is not a ${type} on this node`);
  return { source: path, readOnly: false };
}

async function mkdirUnlessPresent(path: string): Promise<void> {
  // An existing file is fine for the empty type; the test speaks for the others.
  if ((await stat(path).catch(() => undefined)) === undefined) await mkdir(path, { recursive: true, mode: 0o755 });
}

async function createFile(path: string): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o755 });
  const file = await open(path, "a", 0o644);
  await file.close();
}

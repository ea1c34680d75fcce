import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { createReadStream, createWriteStream } from "node:fs";
import { mkdir, rename, rm, writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import { pipeline } from "node:stream/promises";
import { writeArchive } from "./archive.ts";
import { releaseContents, repository } from "./contents.ts";

export interface ReleaseOptions {
  /** A semantic version without build metadata: it becomes part of file names and of other versions. */
  readonly version: string;
  /** Folder for the archive and its checksum. */
  readonly out: string;
  /** Seconds since the epoch; $SOURCE_DATE_EPOCH or the time of the last commit when absent. */
  readonly epoch?: number;
  /** Of gzip, 1 to 9. */
  readonly level?: number;
}

/** Makes tessera-VERSION-linux-ARCH.tar.gz and its .sha256 in the folder; returns the archive's path. */
export async function makeRelease({ version, out, epoch = sourceDateEpoch(), level }: ReleaseOptions): Promise<string> {
  if (!/^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$/.test(version)) throw new Error(`"${version}" is no version such as 1.2.3 or 1.2.3-rc.1`);
  await mkdir(out, { recursive: true });
  const folder = `tessera-${version}-linux-${process.arch}`;
  // Bundling changes the working folder.
  const path = resolve(out, `${folder}.tar.gz`);
  using contents = await releaseContents(version);
  await writeArchive(contents.entries, { folder, epoch, ...(level === undefined ? {} : { level }) }, createWriteStream(`${path}.new`));
  const hash = createHash("sha256");
  await pipeline(createReadStream(`${path}.new`), hash);
  await rm(`${path}.sha256`, { force: true });
  await rename(`${path}.new`, path);
  await writeFile(`${path}.sha256`, `${hash.digest("hex")}  ${folder}.tar.gz\n`);
  return path;
}

function sourceDateEpoch(): number {
  const given = process.env["SOURCE_DATE_EPOCH"];
  const text = given ?? execFileSync("git", ["log", "-1", "--format=%ct"], { cwd: repository, encoding: "utf8" });
  const epoch = Number(text);
  if (!Number.isInteger(epoch) || epoch < 0) throw new Error(`SOURCE_DATE_EPOCH is "${text}", which is no number of seconds`);
  return epoch;
}

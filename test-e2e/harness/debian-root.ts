import { createHash } from "node:crypto";
import { existsSync, globSync, readFileSync } from "node:fs";
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { join, resolve } from "node:path";
import { runOk } from "./run.ts";

const cache = resolve(import.meta.dirname, "../../dist/debian-roots");

/**
 * A minimal Debian of this machine's release with those packages, made by mmdebstrap from the mirrors that this machine has its own packages
 * from. Kept in dist/ until what it is made of changes; not to be written to.
 */
export async function debianRoot(packages: readonly string[]): Promise<string> {
  const sources = sourceFiles();
  const options = await aptOptions();
  const key = createHash("sha256");
  for (const part of [codename(), ...packages, ...options, ...sources.map((file) => readFileSync(file, "utf8"))]) key.update(`${part}\0`);
  const path = join(cache, key.digest("hex").slice(0, 16));
  if (existsSync(path)) return path;
  await mkdir(cache, { recursive: true });
  // An earlier one of the same packages is of older lists of packages.
  await rm(`${path}.new`, { recursive: true, force: true });
  const args = ["--quiet", "--variant=minbase", `--include=${packages.join(",")}`, "--format=directory"];
  await runOk("mmdebstrap", [...args, ...options.map((option) => `--aptopt=${option}`), codename(), `${path}.new`, ...sources], {
    timeoutMs: 300_000,
  });
  await rename(`${path}.new`, path);
  return path;
}

/** Removes what an interrupted run has left in the cache. */
export async function removeUnfinishedRoots(): Promise<void> {
  for (const name of await readdir(cache).catch(() => []))
    if (name.endsWith(".new")) await rm(join(cache, name), { recursive: true, force: true });
}

function codename(): string {
  const name = /^VERSION_CODENAME=(\w+)$/m.exec(readFileSync("/etc/os-release", "utf8"))?.[1];
  if (name === undefined) throw new Error("/etc/os-release names no release of Debian");
  return name;
}

/** Files with the repositories of Debian itself: other repositories that a machine may have are not asked. */
function sourceFiles(): string[] {
  const files = globSync(["/etc/apt/sources.list", "/etc/apt/sources.list.d/*.{list,sources}"]).sort();
  const wanted = new RegExp(`\\b${codename()}\\b[^#]*\\bmain\\b`);
  const found = files.filter((file) => wanted.test(readFileSync(file, "utf8")));
  if (found.length === 0) throw new Error(`no file in /etc/apt names a mirror of ${codename()}`);
  return found;
}

/** How this machine reaches its mirrors: proxies and certificates. */
async function aptOptions(): Promise<string[]> {
  const settings = (await runOk("apt-config", ["dump"])).split("\n");
  return settings.filter((line) => /^Acquire::https?::(Proxy|CaInfo|CaPath|Verify)/.test(line));
}

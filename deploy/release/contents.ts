import { globSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { bundlePrograms } from "../../scripts/bundle.ts";
import { type ArchiveEntry, checksums } from "./archive.ts";
import { findDebianFile } from "./debian-file.ts";
import { licenceFiles, nodeFolder, packageFolders, readComponent } from "./licences.ts";

/** The repository, which bundling runs in. */
export const repository = resolve(import.meta.dirname, "../..");

const nativeFolder = "node_modules/@koromix/koffi-linux-x64";
/** Of koffi only what runs: no sources, no other C library's build. */
const koffiFiles = ["node_modules/koffi/{package.json,*.js,*.cjs,LICENSE.txt}", "node_modules/koffi/{lib,src}/**/*.{js,cjs,mjs}"];
const koffiNativeFiles = [`${nativeFolder}/{package.json,index.js}`, `${nativeFolder}/linux_x64/*.node`];

/** The files of one release, while its bundles exist. */
export interface ReleaseContents extends Disposable {
  readonly entries: readonly ArchiveEntry[];
}

/** Bundles the programs under that version and lists all that a release holds. Everything else must have been built into dist/. */
export async function releaseContents(version: string): Promise<ReleaseContents> {
  process.chdir(repository);
  const staging = mkdtempSync(join(tmpdir(), "tessera-release-"));
  try {
    const entries = await listEntries(version, staging);
    const sums: ArchiveEntry = { path: "SHA256SUMS", executable: false, content: { bytes: await checksums(entries) } };
    return { entries: [...entries, sums], [Symbol.dispose]: () => rmSync(staging, { recursive: true, force: true }) };
  } catch (error) {
    rmSync(staging, { recursive: true, force: true });
    throw error;
  }
}

async function listEntries(version: string, staging: string): Promise<ArchiveEntry[]> {
  const { inputs } = await bundlePrograms({ outdir: staging, version, sourcemap: false });
  const etcd = findDebianFile("etcd-server", "/usr/bin/etcd", "Apache-2.0");
  const nats = findDebianFile("nats-server", "/usr/sbin/nats-server", "Apache-2.0");
  const musl = findDebianFile("musl", "/usr/share/doc/musl/copyright", "MIT");
  const npm = [...packageFolders(Object.keys(inputs)), "node_modules/koffi", nodeFolder()].map(readComponent);
  const licences = licenceFiles([...npm, etcd.component, nats.component, musl.component]);
  const entries = [
    text("VERSION", `${version}\n`),
    text("ARCHITECTURE", `${process.arch}\n`),
    ...licences.map((licence) => text(`licenses/${licence.path}`, licence.text)),
    file("LICENSE", "LICENSE"),
    file("INSTALL.md", "docs/install.md"),
    program("install.sh", "deploy/install.sh"),
    program("bin/node", "node_modules/node/bin/node"),
    program("bin/etcd", etcd.path),
    program("bin/nats-server", nats.path),
    program("bin/pods", "deploy/release/bin/pods"),
    ...["agent", "controlplane", "tsctl"].flatMap((name) => [
      program(`bin/${name}`, "deploy/release/bin/launcher"),
      file(`lib/${name}.mjs`, join(staging, `${name}.mjs`)),
    ]),
    file("lib/libtessera.so", "dist/libtessera.so"),
    program("lib/tessera-shim", "dist/tessera-shim"),
    ...readdirSync(join(staging, "etcd3-proto")).map((name) => file(`lib/etcd3-proto/${name}`, join(staging, "etcd3-proto", name))),
    ...globSync([...koffiFiles, ...koffiNativeFiles]).map((path) => file(`lib/${path}`, path)),
    ...readdirSync("deploy/systemd").map((name) => file(`systemd/${name}`, join("deploy/systemd", name))),
  ];
  return entries.toSorted((a, b) => (a.path < b.path ? -1 : 1));
}

function file(path: string, from: string): ArchiveEntry {
  return { path, executable: false, content: { file: resolve(from) } };
}

function program(path: string, from: string): ArchiveEntry {
  return { ...file(path, from), executable: true };
}

function text(path: string, content: string): ArchiveEntry {
  return { path, executable: false, content: { bytes: Buffer.from(content) } };
}

/** The version in the root's package.json. */
export function packageVersion(): string {
  return (JSON.parse(readFileSync(join(repository, "package.json"), "utf8")) as { version: string }).version;
}

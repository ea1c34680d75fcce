/**
 * Builds the small image that the examples and tests run, from Debian's busybox-static: `node examples/image/build.ts OUT.tar`.
 * The result is an OCI layout in a tar archive, the same bytes every time, so no registry is needed for the first run.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { buffer } from "node:stream/consumers";
import { gzipSync } from "node:zlib";
import { type Header, pack } from "tar-stream";

export const exampleImageName = "tessera.local/busybox:1";

const busyboxPath = "/bin/busybox";

interface Member {
  readonly header: Partial<Header> & { readonly name: string };
  readonly content?: Buffer | string;
}

async function tarOf(members: readonly Member[]): Promise<Buffer> {
  const archive = pack();
  for (const { header, content } of members) archive.entry({ mtime: new Date(0), uid: 0, gid: 0, ...header }, content ?? "");
  archive.finalize();
  return await buffer(archive);
}

function digestOf(bytes: Buffer): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

async function rootfs(): Promise<Buffer> {
  const folder = (name: string, mode = 0o755): Member => ({ header: { name, type: "directory", mode } });
  const file = (name: string, content: Buffer | string, mode = 0o644): Member => ({ header: { name, type: "file", mode }, content });
  const applets = execFileSync(busyboxPath, ["--list"], { encoding: "utf8" }).trim().split("\n");
  return await tarOf([
    ...["bin", "dev", "etc", "home", "proc", "root", "sys", "usr", "usr/bin", "var", "var/www"].map((name) => folder(name)),
    folder("tmp", 0o1777),
    file("bin/busybox", readFileSync(busyboxPath), 0o755),
    ...applets
      .filter((name) => name !== "busybox")
      .map((name): Member => ({ header: { name: `bin/${name}`, type: "symlink", linkname: "busybox" } })),
    file("etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/home:/bin/false\n"),
    file("etc/group", "root:x:0:\nnogroup:x:65534:\n"),
    file("var/www/index.html", "Hello from a Tessera pod.\n"),
  ]);
}

async function image(): Promise<Buffer> {
  const layer = await rootfs();
  const compressed = gzipSync(layer, { level: 9 });
  const configuration = Buffer.from(
    JSON.stringify({
      architecture: process.arch === "x64" ? "amd64" : process.arch,
      os: "linux",
      created: new Date(0).toISOString(),
      config: { Env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"], Cmd: ["sh"] },
      rootfs: { type: "layers", diff_ids: [digestOf(layer)] },
    }),
  );
  const descriptor = (mediaType: string, bytes: Buffer) => ({ mediaType, digest: digestOf(bytes), size: bytes.length });
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      config: descriptor("application/vnd.oci.image.config.v1+json", configuration),
      layers: [descriptor("application/vnd.oci.image.layer.v1.tar+gzip", compressed)],
    }),
  );
  const index = {
    schemaVersion: 2,
    manifests: [
      {
        ...descriptor("application/vnd.oci.image.manifest.v1+json", manifest),
        annotations: { "org.opencontainers.image.ref.name": exampleImageName },
      },
    ],
  };
  const blob = (bytes: Buffer): Member => ({
    header: { name: `blobs/${digestOf(bytes).replace(":", "/")}`, type: "file" },
    content: bytes,
  });
  return await tarOf([
    { header: { name: "oci-layout", type: "file" }, content: JSON.stringify({ imageLayoutVersion: "1.0.0" }) },
    { header: { name: "index.json", type: "file" }, content: JSON.stringify(index) },
    ...[compressed, configuration, manifest].map(blob),
  ]);
}

function isNewer(path: string, ...sources: readonly string[]): boolean {
  const made = statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;
  return sources.every((source) => statSync(source).mtimeMs < made);
}

const [out] = process.argv.slice(2);
if (import.meta.main) {
  if (out === undefined) {
    console.error("usage: node examples/image/build.ts OUT.tar");
    process.exit(2);
  }
  if (!isNewer(out, busyboxPath, import.meta.filename)) writeFileSync(out, await image());
}

import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { tsctlOk } from "./cluster.ts";

interface Descriptor {
  readonly digest: string;
}

/**
 * Loads the example image under another name on all nodes, with one more layer, which `fill` makes in the folder it is given, and with more of
 * a configuration.
 */
export async function loadImage(name: string, config: object, fill: (root: string) => void): Promise<void> {
  await withImageFile(name, config, fill, async (file) => void (await tsctlOk(["image", "load", file])));
}

/** Has `use` work with the file of such an image. */
export async function withImageFile<T>(
  name: string,
  config: object,
  fill: (root: string) => void,
  use: (file: string) => Promise<T>,
): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "tessera-e2e-image-"));
  try {
    const layout = join(folder, "layout");
    const root = join(folder, "root");
    execFileSync("mkdir", [layout, root]);
    execFileSync("tar", ["-xf", resolve(import.meta.dirname, "../../dist/busybox.tar"), "-C", layout]);
    fill(root);
    execFileSync("tar", ["-cf", join(folder, "layer.tar"), "-C", root, "."]);
    writeImage(layout, name, config, readFileSync(join(folder, "layer.tar")));
    execFileSync("tar", ["-cf", join(folder, "image.tar"), "-C", layout, "."]);
    return await use(join(folder, "image.tar"));
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function writeImage(layout: string, name: string, more: object, layer: Buffer): void {
  const read = (path: string) => JSON.parse(readFileSync(join(layout, path), "utf8"));
  const readBlob = ({ digest }: Descriptor) => read(`blobs/${digest.replace(":", "/")}`);
  const addBlob = (mediaType: string, bytes: Buffer) => {
    const digest = `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
    writeFileSync(join(layout, `blobs/${digest.replace(":", "/")}`), bytes);
    return { mediaType, digest, size: bytes.length };
  };
  const index = read("index.json");
  const manifest = readBlob(index.manifests[0]);
  const config = readBlob(manifest.config);
  const added = addBlob("application/vnd.oci.image.layer.v1.tar", layer);
  config.config = { ...config.config, ...more };
  config.rootfs.diff_ids.push(added.digest);
  manifest.layers.push(added);
  manifest.config = addBlob(manifest.config.mediaType, Buffer.from(JSON.stringify(config)));
  const described = addBlob(index.manifests[0].mediaType, Buffer.from(JSON.stringify(manifest)));
  index.manifests = [{ ...described, annotations: { "org.opencontainers.image.ref.name": name } }];
  writeFileSync(join(layout, "index.json"), JSON.stringify(index));
}

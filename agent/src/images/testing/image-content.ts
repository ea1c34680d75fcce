import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";
import { tar } from "./tar-bytes.ts";

export interface Blob {
  readonly digest: string;
  readonly bytes: Buffer;
}

export interface BuiltImage {
  readonly manifest: Blob & { readonly mediaType: string };
  /** Configuration first, then layers. */
  readonly blobs: readonly Blob[];
}

export interface BuildOptions {
  readonly compress?: (layer: Buffer) => Buffer;
  readonly kind?: "oci" | "docker";
  readonly architecture?: string;
  /** What the configuration claims the uncompressed layers to be. */
  readonly diffIds?: readonly string[];
  readonly cmd?: readonly string[];
}

const mediaTypes = {
  oci: {
    manifest: "application/vnd.oci.image.manifest.v1+json",
    config: "application/vnd.oci.image.config.v1+json",
    layer: "application/vnd.oci.image.layer.v1.tar+gzip",
    index: "application/vnd.oci.image.index.v1+json",
  },
  docker: {
    manifest: "application/vnd.docker.distribution.manifest.v2+json",
    config: "application/vnd.docker.container.image.v1+json",
    layer: "application/vnd.docker.image.rootfs.diff.tar.gzip",
    index: "application/vnd.docker.distribution.manifest.list.v2+json",
  },
};

export function digestOf(bytes: Buffer): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`;
}

export function toBlob(value: unknown): Blob {
  const bytes = Buffer.isBuffer(value) ? value : Buffer.from(JSON.stringify(value));
  return { bytes, digest: digestOf(bytes) };
}

const describe = ({ digest, bytes }: Blob, mediaType: string) => ({ mediaType, digest, size: bytes.length });

/** An image of uncompressed layers, as a build tool would make it. */
export function buildImage(layers: readonly Buffer[], options: BuildOptions = {}): BuiltImage {
  const { compress = gzipSync, kind = "oci", architecture = "amd64", diffIds = layers.map(digestOf), cmd = ["run"] } = options;
  const types = mediaTypes[kind];
  const config = toBlob({ os: "linux", architecture, config: { Cmd: cmd }, rootfs: { type: "layers", diff_ids: diffIds } });
  const blobs = layers.map((layer) => toBlob(Buffer.from(compress(layer))));
  const manifest = toBlob({
    schemaVersion: 2,
    mediaType: types.manifest,
    config: describe(config, types.config),
    layers: blobs.map((blob) => describe(blob, types.layer)),
  });
  return { manifest: { ...manifest, mediaType: types.manifest }, blobs: [config, ...blobs] };
}

export function buildIndex(
  images: readonly { readonly image: BuiltImage; readonly platform: Readonly<Record<string, string>> }[],
  kind: "oci" | "docker" = "oci",
): BuiltImage["manifest"] {
  const mediaType = mediaTypes[kind].index;
  const manifests = images.map(({ image, platform }) => ({ ...describe(image.manifest, image.manifest.mediaType), platform }));
  return { ...toBlob({ schemaVersion: 2, mediaType, manifests }), mediaType };
}

/** The image as a file for `image load`. */
export async function ociArchive(name: string, { manifest, blobs }: BuiltImage): Promise<Buffer> {
  const annotations = { "org.opencontainers.image.ref.name": name };
  const index = { schemaVersion: 2, manifests: [{ ...describe(manifest, manifest.mediaType), annotations }] };
  return await tar(
    { name: "oci-layout", content: JSON.stringify({ imageLayoutVersion: "1.0.0" }) },
    { name: "index.json", content: JSON.stringify(index) },
    ...[manifest, ...blobs].map(({ digest, bytes }) => ({ name: `blobs/${digest.replace(":", "/")}`, content: bytes })),
  );
}

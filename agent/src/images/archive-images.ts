import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { TesseraError } from "@tessera/proto";
import { type Archive, readMetadata, type StagedFile } from "./archive.ts";
import {
  checkConfiguration,
  type Descriptor,
  digestOf,
  isIndex,
  type Manifest,
  parseConfiguration,
  parseDockerSave,
  parseIndex,
  parseJson,
  parseManifest,
  selectPlatform,
} from "./manifest.ts";
import { formatReference, parseReference } from "./reference.ts";

/** An image of an archive: every blob of it is there with the right digest, its layers are still packed. */
export interface ArchiveImage {
  readonly manifestDigest: string;
  readonly names: readonly string[];
  readonly parsed: Manifest;
  readonly diffIds: readonly string[];
  /** Staged path of each blob by its digest, the manifest's too. */
  readonly blobs: ReadonlyMap<string, string>;
}

/** Finds the images of an OCI layout or of `docker save`'s format for nodes of this architecture. */
export async function findImages(archive: Archive, staging: string, architecture: string): Promise<ArchiveImage[]> {
  if (archive.find("manifest.json")) return await findSaved(archive, staging, architecture);
  if (archive.find("index.json")) return await findInLayout(archive, architecture);
  throw new TesseraError("Invalid", "the archive holds no image: neither index.json (OCI layout) nor manifest.json (docker save)");
}

async function findSaved(archive: Archive, staging: string, architecture: string): Promise<ArchiveImage[]> {
  const images: ArchiveImage[] = [];
  for (const entry of parseDockerSave(parseJson(await archive.read("manifest.json"), "manifest.json"))) {
    const config = requireMember(archive, entry.config);
    const layers = entry.layers.map((name) => requireMember(archive, name));
    const names = entry.names.map((name) => formatReference(parseReference(name)));
    // The old format has no manifest; this one says the same, so both kinds are alike from here on.
    const manifest = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: "application/vnd.oci.image.manifest.v1+json",
        config: { mediaType: "application/vnd.oci.image.config.v1+json", digest: config.digest, size: config.size },
        layers: layers.map((layer) => ({ mediaType: "application/vnd.oci.image.layer.v1.tar", digest: layer.digest, size: layer.size })),
      }),
    );
    const path = join(staging, `manifest-${images.length}`);
    await writeFile(path, manifest, { mode: 0o600 });
    images.push(
      await toImage({
        manifest,
        names,
        architecture,
        files: [config, ...layers, { path, digest: digestOf(manifest), size: manifest.length }],
      }),
    );
  }
  return images;
}

async function findInLayout(archive: Archive, architecture: string): Promise<ArchiveImage[]> {
  const images: ArchiveImage[] = [];
  for (const descriptor of parseIndex(parseJson(await archive.read("index.json"), "index.json"), "index.json")) {
    const found = await choosePlatform(archive, descriptor, architecture);
    const manifest = await archive.read(blobName(found));
    const parsed = parseManifest(parseJson(manifest, found.digest), found.digest);
    const files = [found, parsed.config, ...parsed.layers].map((part) => requireBlob(archive, part));
    images.push(await toImage({ manifest, names: layoutNames(descriptor), architecture, files }));
  }
  if (images.length === 0) throw new TesseraError("Invalid", "index.json lists no image");
  return images;
}

interface FoundImage {
  readonly manifest: Buffer;
  readonly names: readonly string[];
  readonly architecture: string;
  readonly files: readonly StagedFile[];
}

async function toImage({ manifest, names, architecture, files }: FoundImage): Promise<ArchiveImage> {
  const manifestDigest = digestOf(manifest);
  const parsed = parseManifest(parseJson(manifest, manifestDigest), `manifest ${manifestDigest}`);
  const { digest } = parsed.config;
  const config = files.find((file) => file.digest === digest);
  if (config === undefined) throw new TesseraError("InternalError", `configuration ${digest} was not staged`);
  const configuration = parseConfiguration(parseJson(await readMetadata(config, digest), digest), `configuration ${digest}`);
  checkConfiguration(configuration, parsed, architecture);
  return { manifestDigest, names, parsed, diffIds: configuration.diffIds, blobs: new Map(files.map((file) => [file.digest, file.path])) };
}

async function choosePlatform(archive: Archive, descriptor: Descriptor, architecture: string): Promise<Descriptor> {
  requireBlob(archive, descriptor);
  const value = parseJson(await archive.read(blobName(descriptor)), descriptor.digest);
  if (!isIndex(value)) return descriptor;
  return selectPlatform(parseIndex(value, descriptor.digest), architecture, `index ${descriptor.digest}`);
}

/** containerd and docker put the whole name in one annotation; others put a name, or only a tag, in ref.name. */
function layoutNames(descriptor: Descriptor): string[] {
  const full = descriptor.annotations["io.containerd.image.name"];
  const ref = descriptor.annotations["org.opencontainers.image.ref.name"];
  const name = full ?? (ref !== undefined && /[/:]/.test(ref) ? ref : undefined);
  if (name === undefined)
    throw new TesseraError(
      "Invalid",
      `image ${descriptor.digest} has no name: annotate it with org.opencontainers.image.ref.name=NAME:TAG in index.json`,
    );
  return [formatReference(parseReference(name))];
}

function requireBlob(archive: Archive, descriptor: Descriptor): StagedFile {
  const file = requireMember(archive, blobName(descriptor));
  if (file.digest !== descriptor.digest)
    throw new TesseraError("Invalid", `digest mismatch: the archive says ${descriptor.digest}, the content is ${file.digest}`);
  return file;
}

function requireMember(archive: Archive, name: string): StagedFile {
  const file = archive.find(name);
  if (!file) throw new TesseraError("Invalid", `the archive has no member "${name}"`);
  return file;
}

function blobName(descriptor: Descriptor): string {
  return `blobs/${descriptor.digest.replace(":", "/")}`;
}

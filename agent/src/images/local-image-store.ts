import { link, mkdir, readFile, rename, stat } from "node:fs/promises";
import { join } from "node:path";
import { TesseraError } from "@tessera/proto";
import type { HostFiles } from "@tessera/runtime-native";
import { type Archive, stageArchive } from "./archive.ts";
import { writeDurably } from "./durable-file.ts";
import type { ImageStore, LocalImage } from "./image-store.ts";
import { unpackLayer } from "./layers.ts";
import {
  type Descriptor,
  isIndex,
  type Manifest,
  parseConfiguration,
  parseDockerSave,
  parseIndex,
  parseJson,
  parseManifest,
} from "./manifest.ts";
import { formatReference, parseReference } from "./reference.ts";

const limits = { maxMembers: 10_000, maxBytes: 64 * 2 ** 30, maxEntries: 1_000_000, maxLayerBytes: 64 * 2 ** 30 };

export interface LocalImageStoreOptions {
  /** Folder of the store; made when absent. Blobs, layers and upper folders of containers must be on one file system that overlayfs takes. */
  readonly folder: string;
  readonly files: HostFiles;
  /** As Go and image indexes spell it: "amd64", "arm64". */
  readonly architecture: string;
}

/** What images.json holds: which manifest each name stands for. Everything else is content-addressed. */
interface NameTable {
  readonly names: Readonly<Record<string, string>>;
}

/** An image whose every part lies verified in the staging folder. */
interface StagedImage {
  readonly manifest: Buffer;
  readonly manifestDigest: string;
  readonly names: readonly string[];
  /** Staged path of each blob, configuration and layers. */
  readonly blobs: ReadonlyMap<string, string>;
}

/**
 * The node's images:
 *
 *     FOLDER/blobs/sha256/<hex>    manifests, configurations, layers as they came
 *     FOLDER/layers/<hex>/         each layer unpacked once, named by its uncompressed digest
 *     FOLDER/images.json           name -> manifest digest; written last, so a crash leaves only unnamed blobs
 *     FOLDER/staging/              work under way; emptied at start
 */
export class LocalImageStore implements ImageStore {
  readonly #options: LocalImageStoreOptions;
  #names: Readonly<Record<string, string>>;
  readonly #images = new Map<string, LocalImage>();
  readonly #unpacking = new Map<string, Promise<void>>();
  /** Changes to the name table, one after another. */
  #writing: Promise<unknown> = Promise.resolve();
  #staged = 0;

  private constructor(options: LocalImageStoreOptions, names: Readonly<Record<string, string>>) {
    this.#options = options;
    this.#names = names;
  }

  /** Opens or makes the store and clears what an earlier process left half done. */
  static async open(options: LocalImageStoreOptions): Promise<LocalImageStore> {
    const { folder, files } = options;
    await files.removeTree(join(folder, "staging"));
    for (const name of ["blobs/sha256", "layers", "staging"]) await mkdir(join(folder, name), { recursive: true, mode: 0o700 });
    const table = await readFile(join(folder, "images.json"), "utf8").catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return '{"names":{}}';
      throw error;
    });
    const store = new LocalImageStore(options, (JSON.parse(table) as NameTable).names);
    for (const digest of new Set(Object.values(store.#names))) await store.#readImage(digest);
    return store;
  }

  async resolve(name: string): Promise<LocalImage | undefined> {
    if (/^sha256:[0-9a-f]{64}$/.test(name)) return this.#described().find((image) => image.id === name);
    const reference = parseReference(name);
    const { digest } = reference;
    if (digest === undefined) {
      const manifest = this.#names[formatReference(reference)];
      return manifest === undefined ? undefined : this.#describe(manifest);
    }
    // A digest wins over a tag beside it, but the image must have been imported under that repository.
    return this.#described().find((image) => image.digests.includes(`${reference.domain}/${reference.path}@${digest}`));
  }

  async list(): Promise<LocalImage[]> {
    return this.#described();
  }

  async load(archive: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<string[]> {
    const staging = join(this.#options.folder, "staging", `load-${++this.#staged}`);
    await mkdir(staging, { mode: 0o700 });
    try {
      const images = await this.#stageImages(await stageArchive(archive, staging, limits, signal));
      for (const image of images) await this.#admit(image, signal);
      await this.#rename(images);
      return images.flatMap((image) => image.names);
    } finally {
      await this.#options.files.removeTree(staging);
    }
  }

  async prepareRootfs(image: LocalImage): Promise<string[]> {
    const present = await Promise.all(image.layers.map((diffId) => exists(this.#layerFolder(diffId))));
    if (present.includes(false)) {
      const digest = Object.entries(this.#names).find(([name]) => image.names.includes(name))?.[1];
      if (digest === undefined) throw new TesseraError("NotFound", `image ${image.id} is no longer on this node`);
      await this.#unpackAll(
        parseManifest(parseJson(await readFile(this.#blob(digest)), digest), digest),
        image.layers,
        new AbortController().signal,
      );
    }
    return image.layers.map((diffId) => this.#layerFolder(diffId)).reverse();
  }

  /** Finds the images of an archive; every blob they name is verified to be there with the right digest. */
  async #stageImages(archive: Archive): Promise<StagedImage[]> {
    if (archive.find("manifest.json")) return await stageDockerSave(archive);
    if (archive.find("index.json")) return await stageOciLayout(archive, this.#options.architecture);
    throw new TesseraError("Invalid", "the archive holds no image: neither index.json (OCI layout) nor manifest.json (docker save)");
  }

  async #admit(image: StagedImage, signal: AbortSignal): Promise<void> {
    const manifest = parseManifest(parseJson(image.manifest, "manifest"), "manifest");
    for (const [digest, path] of image.blobs) await linkUnlessThere(path, this.#blob(digest));
    await writeDurably(this.#blob(image.manifestDigest), image.manifest);
    const configuration = await this.#readConfiguration(manifest.config.digest);
    if (configuration.diffIds.length !== manifest.layers.length)
      throw new TesseraError(
        "Invalid",
        `image ${manifest.config.digest} has ${manifest.layers.length} layers, its configuration names ${configuration.diffIds.length}`,
      );
    await this.#unpackAll(manifest, configuration.diffIds, signal);
    await this.#readImage(image.manifestDigest);
  }

  async #unpackAll(manifest: Manifest, diffIds: readonly string[], signal: AbortSignal): Promise<void> {
    for (const [i, layer] of manifest.layers.entries()) {
      const diffId = diffIds[i];
      if (diffId !== undefined) await this.#unpackOnce(this.#blob(layer.digest), diffId, signal);
    }
  }

  /** Two images that share a layer unpack it once, also at the same moment. */
  async #unpackOnce(blobPath: string, diffId: string, signal: AbortSignal): Promise<void> {
    let running = this.#unpacking.get(diffId);
    if (!running) {
      running = this.#unpack(blobPath, diffId, signal).finally(() => this.#unpacking.delete(diffId));
      this.#unpacking.set(diffId, running);
    }
    await running;
  }

  async #unpack(blobPath: string, diffId: string, signal: AbortSignal): Promise<void> {
    const { folder, files } = this.#options;
    const target = this.#layerFolder(diffId);
    if (await exists(target)) return;
    const partial = join(folder, "staging", `layer-${++this.#staged}`);
    await mkdir(partial, { mode: 0o755 });
    try {
      const writer = files.openLayer(partial);
      const layerLimits = { maxEntries: limits.maxEntries, maxBytes: limits.maxLayerBytes };
      await unpackLayer({ blobPath, diffId }, { root: partial, writer, limits: layerLimits, signal });
      await rename(partial, target);
    } catch (error) {
      await files.removeTree(partial);
      throw error;
    }
  }

  /** Points the images' names at them, all in one write. */
  async #rename(images: readonly StagedImage[]): Promise<void> {
    const write = this.#writing.then(async () => {
      const names = { ...this.#names };
      for (const image of images) for (const name of image.names) names[name] = image.manifestDigest;
      await writeDurably(
        join(this.#options.folder, "images.json"),
        Buffer.from(`${JSON.stringify({ names } satisfies NameTable, undefined, 1)}\n`),
      );
      this.#names = names;
    });
    this.#writing = write.catch(() => undefined);
    await write;
  }

  async #readImage(manifestDigest: string): Promise<void> {
    const manifest = parseManifest(parseJson(await readFile(this.#blob(manifestDigest)), manifestDigest), manifestDigest);
    const configuration = await this.#readConfiguration(manifest.config.digest);
    this.#images.set(manifestDigest, {
      id: manifest.config.digest,
      names: [],
      digests: [],
      sizeBytes: manifest.layers.reduce((sum, layer) => sum + layer.size, manifest.config.size),
      layers: configuration.diffIds,
      config: configuration.config,
    });
  }

  async #readConfiguration(digest: string) {
    return parseConfiguration(parseJson(await readFile(this.#blob(digest)), `configuration ${digest}`), `configuration ${digest}`);
  }

  #described(): LocalImage[] {
    return [...new Set(Object.values(this.#names))].flatMap((digest) => this.#describe(digest) ?? []);
  }

  #describe(manifestDigest: string): LocalImage | undefined {
    const image = this.#images.get(manifestDigest);
    if (!image) return undefined;
    const names = Object.entries(this.#names).flatMap(([name, digest]) => (digest === manifestDigest ? [name] : []));
    const repositories = new Set(names.map((name) => name.replace(/:[^:/]*$/, "")));
    return { ...image, names, digests: [...repositories].map((repository) => `${repository}@${manifestDigest}`) };
  }

  #blob(digest: string): string {
    return join(this.#options.folder, "blobs/sha256", digest.replace("sha256:", ""));
  }

  #layerFolder(diffId: string): string {
    return join(this.#options.folder, "layers", diffId.replace("sha256:", ""));
  }
}

async function stageDockerSave(archive: Archive): Promise<StagedImage[]> {
  const images: StagedImage[] = [];
  for (const entry of parseDockerSave(parseJson(await archive.read("manifest.json"), "manifest.json"))) {
    const config = requireMember(archive, entry.config);
    const layers = entry.layers.map((name) => requireMember(archive, name));
    // The old format has no manifest; this one says the same, so both kinds are alike from here on.
    const manifest = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: "application/vnd.oci.image.manifest.v1+json",
        config: { mediaType: "application/vnd.oci.image.config.v1+json", digest: config.digest, size: config.size },
        layers: layers.map((layer) => ({ mediaType: "application/vnd.oci.image.layer.v1.tar", digest: layer.digest, size: layer.size })),
      }),
    );
    images.push({
      manifest,
      manifestDigest: await digestOf(manifest),
      names: entry.names.map((name) => formatReference(parseReference(name))),
      blobs: new Map([config, ...layers].map((file) => [file.digest, file.path])),
    });
  }
  return images;
}

async function stageOciLayout(archive: Archive, architecture: string): Promise<StagedImage[]> {
  const images: StagedImage[] = [];
  for (const descriptor of parseIndex(parseJson(await archive.read("index.json"), "index.json"), "index.json")) {
    const found = await choosePlatform(archive, descriptor, architecture);
    const manifest = await archive.read(blobName(found));
    const parsed = parseManifest(parseJson(manifest, found.digest), found.digest);
    const blobs = [parsed.config, ...parsed.layers].map((part) => requireBlob(archive, part));
    images.push({
      manifest,
      manifestDigest: requireBlob(archive, found).digest,
      names: layoutNames(descriptor),
      blobs: new Map(blobs.map((file) => [file.digest, file.path])),
    });
  }
  if (images.length === 0) throw new TesseraError("Invalid", "index.json lists no image");
  return images;
}

async function choosePlatform(archive: Archive, descriptor: Descriptor, architecture: string): Promise<Descriptor> {
  const value = parseJson(await archive.read(blobName(requireBlobOf(archive, descriptor))), descriptor.digest);
  if (!isIndex(value)) return descriptor;
  const choices = parseIndex(value, descriptor.digest);
  const match = choices.find((choice) => choice.platform?.os === "linux" && choice.platform.architecture === architecture);
  if (match) return match;
  const offered = choices.map((choice) => `${choice.platform?.os ?? "?"}/${choice.platform?.architecture ?? "?"}`).join(", ");
  throw new TesseraError("Invalid", `no image for linux/${architecture} in ${descriptor.digest}; it has ${offered}`);
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

function requireBlobOf(archive: Archive, descriptor: Descriptor): Descriptor {
  requireBlob(archive, descriptor);
  return descriptor;
}

function requireBlob(archive: Archive, descriptor: Descriptor) {
  const file = requireMember(archive, blobName(descriptor));
  if (file.digest !== descriptor.digest)
    throw new TesseraError("Invalid", `digest mismatch: the archive says ${descriptor.digest}, the content is ${file.digest}`);
  return file;
}

function requireMember(archive: Archive, name: string) {
  const file = archive.find(name);
  if (!file) throw new TesseraError("Invalid", `the archive has no member "${name}"`);
  return file;
}

function blobName(descriptor: Descriptor): string {
  return `blobs/${descriptor.digest.replace(":", "/")}`;
}

async function digestOf(bytes: Uint8Array): Promise<string> {
  return `sha256:${Buffer.from(await crypto.subtle.digest("SHA-256", new Uint8Array(bytes))).toString("hex")}`;
}

/** A blob that is there already has the same content, for its name is its digest. */
async function linkUnlessThere(path: string, blob: string): Promise<void> {
  await link(path, blob).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "EEXIST") throw error;
  });
}

async function exists(path: string): Promise<boolean> {
  return await stat(path).then(
    () => true,
    (error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT") return false;
      throw error;
    },
  );
}

import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { TesseraError } from "@tessera/proto";
import { downloadBlob } from "./blob-download.ts";
import type { ContentStore, LayerName, StagedContent } from "./content-store.ts";
import type { PullProgress } from "./image-store.ts";
import {
  checkConfiguration,
  type Descriptor,
  isIndex,
  MAX_METADATA_BYTES,
  parseConfiguration,
  parseIndex,
  parseJson,
  parseManifest,
  selectPlatform,
} from "./manifest.ts";
import type { ImageReference } from "./reference.ts";
import type { FetchedManifest, RegistryClient } from "./registry-client.ts";
import type { StagedImage } from "./staged-image.ts";

/** Layers of one image that are under way at the same time. */
const PARALLEL_LAYERS = 3;
/** Indexes within indexes. */
const MAX_INDEX_DEPTH = 3;

export interface PullParts {
  readonly client: Pick<RegistryClient, "manifest" | "blob">;
  readonly reference: ImageReference;
  readonly content: ContentStore;
  /** Folder for what is fetched. */
  readonly staging: string;
  readonly architecture: string;
  /** Bytes of all layers as they come. */
  readonly maxBytes: number;
  readonly signal: AbortSignal;
  readonly progress: (progress: PullProgress) => void;
}

/** Fetches what the store lacks of an image, verified and unpacked in the staging folder. */
export async function pullImage(parts: PullParts): Promise<StagedImage> {
  const { client, reference, content, staging, architecture, maxBytes } = parts;
  const top = await client.manifest(reference.digest ?? reference.tag ?? "latest", parts.signal);
  const chosen = await choosePlatform(top, parts);
  const manifest = parseManifest(parseJson(chosen.bytes, chosen.digest), `manifest ${chosen.digest}`);
  const sizeBytes = manifest.layers.reduce((sum, { size }) => sum + size, manifest.config.size);
  if (sizeBytes > maxBytes)
    throw new TesseraError("Invalid", `manifest ${chosen.digest} describes ${sizeBytes} bytes; at most ${maxBytes} are pulled`);

  const staged: StagedContent = { blobs: new Map(), layers: new Map(), verified: [] };
  const { config } = manifest;
  // Before the first look at what is there already.
  content.hold(staging, [chosen.digest, config.digest, ...manifest.layers.map(({ digest }) => digest)]);
  if (config.size > MAX_METADATA_BYTES)
    throw new TesseraError(
      "Invalid",
      `configuration ${config.digest} is ${config.size} bytes long; at most ${MAX_METADATA_BYTES} are read`,
    );
  const fetch = new BlobFetch(parts, staged, sizeBytes, manifest.layers.length);
  const configuration = parseConfiguration(
    parseJson(await readFile(await fetch.blob(config)), config.digest),
    `configuration ${config.digest}`,
  );
  checkConfiguration(configuration, manifest, architecture);
  content.hold(staging, configuration.diffIds);

  const path = join(staging, "manifest");
  await writeFile(path, chosen.bytes, { mode: 0o600 });
  staged.blobs.set(chosen.digest, path);
  const work = [...uniqueLayers(manifest.layers, configuration.diffIds)];
  await inParallel(PARALLEL_LAYERS, work, parts.signal, async ({ descriptor, name }, signal) => {
    if (!((await content.isReady(name)) && (await content.hasBlob(descriptor)))) {
      await content.stageLayer(name, await fetch.blob(descriptor, signal), staging, staged, signal);
    }
    fetch.layerDone(descriptor);
  });
  const repository = `${reference.domain}/${reference.path}`;
  const digests = [...new Set([top.digest, chosen.digest])].map((digest) => `${repository}@${digest}`);
  const tagged = reference.digest === undefined ? [`${repository}:${reference.tag ?? "latest"}`] : [];
  return { manifestDigest: chosen.digest, names: tagged, digests, content: staged };
}

async function choosePlatform(top: FetchedManifest, { client, architecture, signal }: PullParts): Promise<FetchedManifest> {
  let at = top;
  for (let depth = 0; ; depth++) {
    const value = parseJson(at.bytes, at.digest);
    if (!isIndex(value)) return at;
    if (depth === MAX_INDEX_DEPTH)
      throw new TesseraError("Invalid", `index ${top.digest} leads through more than ${MAX_INDEX_DEPTH} indexes`);
    const choice = selectPlatform(parseIndex(value, at.digest), architecture, `index ${at.digest}`);
    at = await client.manifest(choice.digest, signal);
  }
}

interface LayerWork {
  readonly descriptor: Descriptor;
  readonly name: LayerName;
}

/** An image may name one layer several times. */
function* uniqueLayers(layers: readonly Descriptor[], diffIds: readonly string[]): Generator<LayerWork> {
  const seen = new Set<string>();
  for (const [i, descriptor] of layers.entries()) {
    const name = { blob: descriptor.digest, diffId: diffIds[i] ?? "" };
    const key = `${name.blob} ${name.diffId}`;
    if (!seen.has(key)) yield { descriptor, name };
    seen.add(key);
  }
}

/** Fetches blobs into the staging folder and keeps count. */
class BlobFetch {
  readonly #parts: PullParts;
  readonly #staged: StagedContent;
  readonly #totalBytes: number;
  readonly #layers: number;
  readonly #received = new Map<string, number>();
  #layersDone = 0;
  #files = 0;

  constructor(parts: PullParts, staged: StagedContent, totalBytes: number, layers: number) {
    this.#parts = parts;
    this.#staged = staged;
    this.#totalBytes = totalBytes;
    this.#layers = layers;
  }

  /** Path of the blob, fetched if need be. */
  async blob(descriptor: Descriptor, signal = this.#parts.signal): Promise<string> {
    const { client, content, staging } = this.#parts;
    if (await content.hasBlob(descriptor)) return content.blobPath(descriptor.digest);
    const path = join(staging, `blob-${++this.#files}`);
    await downloadBlob({ client, descriptor, path, signal, onBytes: (bytes) => this.#note(descriptor, bytes) });
    this.#staged.blobs.set(descriptor.digest, path);
    return path;
  }

  layerDone(descriptor: Descriptor): void {
    this.#layersDone++;
    this.#note(descriptor, descriptor.size);
  }

  #note({ digest }: Descriptor, bytes: number): void {
    this.#received.set(digest, bytes);
    const doneBytes = [...this.#received.values()].reduce((sum, one) => sum + one, 0);
    this.#parts.progress({ doneBytes, totalBytes: this.#totalBytes, layersDone: this.#layersDone, layers: this.#layers });
  }
}

/** Works on at most `bound` items at a time. The first failure ends the others, and is thrown when they have ended. */
async function inParallel<T>(
  bound: number,
  items: readonly T[],
  signal: AbortSignal,
  work: (item: T, signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const failed = new AbortController();
  const either = AbortSignal.any([signal, failed.signal]);
  const left = items.values();
  const worker = async () => {
    for (const item of left) {
      either.throwIfAborted();
      await work(item, either);
    }
  };
  const workers = Array.from({ length: Math.min(bound, items.length) }, () =>
    worker().catch((error: unknown) => {
      failed.abort(error);
    }),
  );
  await Promise.all(workers);
  either.throwIfAborted();
}

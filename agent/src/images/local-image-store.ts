import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { TesseraError } from "@tessera/proto";
import type { HostFiles } from "@tessera/runtime-native";
import { stageArchive } from "./archive.ts";
import { findImages } from "./archive-images.ts";
import { ContentStore, type StagedContent } from "./content-store.ts";
import { credentialsFor, type RegistryCredentials } from "./credentials.ts";
import { writeDurably } from "./durable-file.ts";
import { pullImage } from "./image-pull.ts";
import type { ImagePuller, ImageStore, LocalImage, PullOptions, PullProgress } from "./image-store.ts";
import { parseConfiguration, parseJson, parseManifest } from "./manifest.ts";
import { explainNodeFault } from "./node-fault.ts";
import { formatReference, type ImageReference, parseReference } from "./reference.ts";
import { RegistryClient } from "./registry-client.ts";
import { RegistryHttp, type RegistrySettings } from "./registry-http.ts";
import { SharedWork } from "./shared-work.ts";
import type { StagedImage } from "./staged-image.ts";
import { Turns } from "./turns.ts";

/** Images that are pulled at the same time; each has several layers under way. */
const PARALLEL_PULLS = 4;

const limits = { maxMembers: 10_000, maxBytes: 64 * 2 ** 30, maxEntries: 1_000_000, maxLayerBytes: 64 * 2 ** 30 };

export interface LocalImageStoreOptions {
  /** Folder of the store; made when absent. Blobs, layers and upper folders of containers must be on one file system that overlayfs takes. */
  readonly folder: string;
  readonly files: Pick<HostFiles, "removeTree" | "openLayer">;
  /** As Go and image indexes spell it: "amd64", "arm64". */
  readonly architecture: string;
  readonly registries?: RegistrySettings;
  readonly log?: { warn(fields: object, message: string): void };
}

/** What images.json holds: which manifest each name, by tag or by digest, stands for. Everything else is content-addressed. */
interface NameTable {
  readonly names: Readonly<Record<string, string>>;
}

/**
 * The node's images: a ContentStore, and FOLDER/images.json, which is written last, so that a crash leaves only content without a name.
 *
 * An image that is there is there for every pod: that a pod may not use a private image which another one pulled needs a check with
 * the registry (imagePullPolicy Always makes one) until rights are remembered beside the names.
 */
export class LocalImageStore implements ImageStore, ImagePuller {
  readonly #options: LocalImageStoreOptions;
  readonly #content: ContentStore;
  readonly #http: RegistryHttp;
  readonly #images = new Map<string, LocalImage>();
  readonly #pulls = new SharedWork<LocalImage>();
  readonly #turns = new Turns(PARALLEL_PULLS);
  readonly #progress = new Map<string, Set<(progress: PullProgress) => void>>();
  readonly #restoring = new SharedWork<void>();
  #names: Readonly<Record<string, string>> = {};
  /** Changes to the name table, one after another. */
  #writing: Promise<unknown> = Promise.resolve();

  private constructor(options: LocalImageStoreOptions, content: ContentStore) {
    this.#options = options;
    this.#content = content;
    this.#http = new RegistryHttp(options.registries ?? {});
  }

  /** Opens or makes the store and clears what an earlier process left half done. An image that cannot be read loses its names. */
  static async open(options: LocalImageStoreOptions): Promise<LocalImageStore> {
    const { folder, files, log } = options;
    const layerLimits = { maxEntries: limits.maxEntries, maxBytes: limits.maxLayerBytes };
    const store = new LocalImageStore(options, await ContentStore.open({ folder, files, layerLimits }));
    const names = Object.entries(await readNames(join(folder, "images.json")));
    for (const digest of new Set(names.map(([, manifest]) => manifest))) {
      await store
        .#readImage(digest)
        .catch((error: unknown) => log?.warn({ err: error, manifest: digest }, "image cannot be read and is forgotten"));
    }
    store.#names = Object.fromEntries(names.filter(([, manifest]) => store.#images.has(manifest)));
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
    try {
      return await this.#content.withStaging(async (staging) => {
        const members = await stageArchive(archive, staging, limits, signal);
        const images: StagedImage[] = [];
        for (const found of await findImages(members, staging, this.#options.architecture)) {
          const content: StagedContent = { blobs: new Map(found.blobs), layers: new Map(), verified: [] };
          for (const [i, { digest: blob }] of found.parsed.layers.entries()) {
            const name = { blob, diffId: found.diffIds[i] ?? "" };
            if (!(await this.#content.isReady(name)))
              await this.#content.stageLayer(name, found.blobs.get(blob) ?? "", staging, content, signal);
          }
          images.push({ ...found, digests: [], content });
        }
        await this.#commit(images);
        return images.flatMap((image) => image.names);
      });
    } catch (error) {
      throw explainNodeFault(error, "the archive's images", this.#options.folder);
    }
  }

  async pull(name: string, { credentials = [], signal, progress }: PullOptions): Promise<LocalImage> {
    const reference = parseReference(name);
    const usable = credentialsFor(credentials, reference);
    // Who has other credentials must be asked for them: joining would be getting the image on somebody else's login.
    const key = JSON.stringify([formatReference(reference), usable]);
    const listeners = this.#progress.get(key) ?? new Set();
    this.#progress.set(key, listeners);
    if (progress) listeners.add(progress);
    const tell = (now: PullProgress) => {
      for (const listener of listeners) listener(now);
    };
    try {
      return await this.#pulls.run(key, signal, (shared) => this.#turns.run(shared, () => this.#pullAs(reference, usable, shared, tell)));
    } finally {
      if (progress) listeners.delete(progress);
      if (listeners.size === 0) this.#progress.delete(key);
    }
  }

  /** Tries one login after the other, as long as the registry refuses. */
  async #pullAs(
    reference: ImageReference,
    usable: readonly RegistryCredentials[],
    signal: AbortSignal,
    progress: (progress: PullProgress) => void,
  ): Promise<LocalImage> {
    const logins = usable.length > 0 ? usable : [undefined];
    for (const [i, credentials] of logins.entries()) {
      const client = new RegistryClient({ http: this.#http, reference, ...(credentials && { credentials }) });
      try {
        return await this.#pull(reference, client, signal, progress);
      } catch (error) {
        if (i === logins.length - 1 || !isRefused(error))
          throw explainNodeFault(error, `image "${formatReference(reference)}"`, this.#options.folder);
      }
    }
    throw new TesseraError("InternalError", "a pull without any attempt");
  }

  async #pull(
    reference: ImageReference,
    client: RegistryClient,
    signal: AbortSignal,
    progress: (progress: PullProgress) => void,
  ): Promise<LocalImage> {
    const content = this.#content;
    const { architecture } = this.#options;
    return await content.withStaging(async (staging) => {
      const image = await pullImage({ client, reference, content, staging, architecture, maxBytes: limits.maxBytes, signal, progress });
      await this.#commit([image]);
      const local = this.#describe(image.manifestDigest);
      if (local === undefined) throw new TesseraError("InternalError", `image ${image.manifestDigest} is gone right after it was pulled`);
      return local;
    });
  }

  async prepareRootfs(image: LocalImage): Promise<string[]> {
    const present = await Promise.all(image.layers.map((diffId) => this.#content.hasLayer(diffId)));
    if (present.includes(false))
      await this.#restoring.run(image.id, new AbortController().signal, (signal) => this.#restore(image, signal));
    return image.layers.map((diffId) => this.#content.layerPath(diffId)).reverse();
  }

  /** Unpacks again what was removed behind the store's back. */
  async #restore(image: LocalImage, signal: AbortSignal): Promise<void> {
    const digest = [...this.#images].find(([, { id }]) => id === image.id)?.[0];
    if (digest === undefined) throw new TesseraError("NotFound", `image ${image.id} is no longer on this node`);
    const manifest = parseManifest(parseJson(await this.#readBlob(digest), digest), digest);
    await this.#content.withStaging(async (staging) => {
      const staged: StagedContent = { blobs: new Map(), layers: new Map(), verified: [] };
      for (const [i, layer] of manifest.layers.entries()) {
        const name = { blob: layer.digest, diffId: image.layers[i] ?? "" };
        if (!(await this.#content.isReady(name)))
          await this.#content.stageLayer(name, this.#content.blobPath(layer.digest), staging, staged, signal);
      }
      await this.#change(() => this.#content.place(staged));
    });
  }

  /** Gives images their place and their names, all of them or none. */
  async #commit(images: readonly StagedImage[]): Promise<void> {
    await this.#change(async () => {
      const undo: (() => Promise<void>)[] = [];
      try {
        const names: Record<string, string> = { ...this.#names };
        for (const image of images) {
          undo.push(await this.#content.place(image.content));
          await this.#readImage(image.manifestDigest);
          for (const name of [...image.names, ...image.digests]) names[name] = image.manifestDigest;
        }
        const isNews = Object.entries(names).some(([name, digest]) => this.#names[name] !== digest);
        if (isNews) await writeNames(join(this.#options.folder, "images.json"), names);
        this.#names = names;
      } catch (error) {
        for (const step of undo.reverse()) await step();
        throw error;
      }
    });
  }

  async #change<T>(work: () => Promise<T>): Promise<T> {
    const change = this.#writing.then(work);
    this.#writing = change.catch(() => undefined);
    return await change;
  }

  async #readImage(manifestDigest: string): Promise<void> {
    const manifest = parseManifest(parseJson(await this.#readBlob(manifestDigest), manifestDigest), manifestDigest);
    const { digest, size } = manifest.config;
    const configuration = parseConfiguration(parseJson(await this.#readBlob(digest), digest), `configuration ${digest}`);
    for (const [i, layer] of manifest.layers.entries())
      this.#content.noteVerified({ blob: layer.digest, diffId: configuration.diffIds[i] ?? "" });
    this.#images.set(manifestDigest, {
      id: digest,
      names: [],
      digests: [],
      sizeBytes: manifest.layers.reduce((sum, layer) => sum + layer.size, size),
      layers: configuration.diffIds,
      config: configuration.config,
    });
  }

  async #readBlob(digest: string): Promise<Buffer> {
    return await readFile(this.#content.blobPath(digest));
  }

  #described(): LocalImage[] {
    return [...new Set(Object.values(this.#names))].flatMap((digest) => this.#describe(digest) ?? []);
  }

  #describe(manifestDigest: string): LocalImage | undefined {
    const image = this.#images.get(manifestDigest);
    if (!image) return undefined;
    const all = Object.entries(this.#names).flatMap(([name, digest]) => (digest === manifestDigest ? [name] : []));
    const names = all.filter((name) => !name.includes("@"));
    const ofManifest = names.map((name) => `${name.replace(/:[^:/]*$/, "")}@${manifestDigest}`);
    return { ...image, names, digests: [...new Set([...all.filter((name) => name.includes("@")), ...ofManifest])] };
  }
}

function isRefused(error: unknown): boolean {
  return error instanceof TesseraError && ["Unauthorized", "Forbidden", "NotFound"].includes(error.reason);
}

async function readNames(path: string): Promise<NameTable["names"]> {
  try {
    return (JSON.parse(await readFile(path, "utf8")) as NameTable).names;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return {};
    throw error;
  }
}

async function writeNames(path: string, names: NameTable["names"]): Promise<void> {
  await writeDurably(path, Buffer.from(`${JSON.stringify({ names } satisfies NameTable, undefined, 1)}\n`));
}

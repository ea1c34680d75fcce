import { readFile, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import { TesseraError } from "@tessera/proto";
import type { HostFiles } from "@tessera/runtime-native";
import { stageArchive } from "./archive.ts";
import { findImages } from "./archive-images.ts";
import { ContentStore, type StagedContent } from "./content-store.ts";
import { credentialsFor, type RegistryCredentials } from "./credentials.ts";
import { pullImage } from "./image-pull.ts";
import { fingerprintOf, type ImageProof, mayUse } from "./image-rights.ts";
import type { ImagePuller, ImageRemoval, ImageStore, LocalImage, PullOptions, PullProgress, StoredImage } from "./image-store.ts";
import { type ImageTable, readImageTable, withImage, withoutManifests, writeImageTable } from "./image-table.ts";
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

/**
 * The node's images: a ContentStore, and FOLDER/images.json, which is written last, so that a crash leaves only content without a name.
 */
export class LocalImageStore implements ImageStore, ImagePuller, ImageRemoval {
  readonly #options: LocalImageStoreOptions;
  readonly #content: ContentStore;
  readonly #http: RegistryHttp;
  readonly #images = new Map<string, LocalImage>();
  /** Digests of blobs and layers by that of the manifest. */
  readonly #contents = new Map<string, readonly string[]>();
  readonly #usedAtMs = new Map<string, number>();
  readonly #pulls = new SharedWork<LocalImage>();
  readonly #turns = new Turns(PARALLEL_PULLS);
  readonly #progress = new Map<string, Set<(progress: PullProgress) => void>>();
  readonly #restoring = new SharedWork<void>();
  #table: ImageTable;
  /** Changes to the table, one after another. */
  #writing: Promise<unknown> = Promise.resolve();

  private constructor(options: LocalImageStoreOptions, content: ContentStore, table: ImageTable) {
    this.#options = options;
    this.#content = content;
    this.#table = table;
    this.#http = new RegistryHttp(options.registries ?? {});
  }

  /** Opens or makes the store and clears what an earlier process left half done. An image that cannot be read loses its names. */
  static async open(options: LocalImageStoreOptions): Promise<LocalImageStore> {
    const { folder, files, log } = options;
    const layerLimits = { maxEntries: limits.maxEntries, maxBytes: limits.maxLayerBytes };
    const content = await ContentStore.open({ folder, files, layerLimits });
    const table = await readImageTable(join(folder, "images.json"));
    const store = new LocalImageStore(options, content, table);
    const unreadable = new Set<string>();
    for (const digest of new Set(Object.values(table.names))) {
      await store.#readImage(digest).catch((error: unknown) => {
        unreadable.add(digest);
        log?.warn({ err: error, manifest: digest }, "image cannot be read and is forgotten");
      });
    }
    store.#table = withoutManifests(table, unreadable);
    return store;
  }

  async resolve(name: string): Promise<LocalImage | undefined> {
    const manifest = this.#find(name);
    return manifest === undefined ? undefined : this.#describe(manifest);
  }

  /** Digest of the manifest that a name stands for here. */
  #find(name: string): string | undefined {
    const manifests = [...new Set(Object.values(this.#table.names))];
    if (isImageId(name)) return manifests.find((manifest) => this.#describe(manifest)?.id === name);
    const reference = parseReference(name);
    const { digest } = reference;
    if (digest === undefined) return this.#table.names[formatReference(reference)];
    // A digest wins over a tag beside it, but the image must have been imported under that repository.
    return manifests.find((manifest) => this.#describe(manifest)?.digests.includes(`${repositoryOf(reference)}@${digest}`));
  }

  async mayUse(name: string, credentials: readonly RegistryCredentials[]): Promise<boolean> {
    const manifest = this.#find(name);
    const repository = isImageId(name) ? undefined : repositoryOf(parseReference(name));
    const fingerprints = credentials.map((one) => fingerprintOf(one, this.#table.salt));
    return manifest !== undefined && mayUse(this.#table.rights[manifest], repository, fingerprints);
  }

  async list(): Promise<LocalImage[]> {
    return this.#described();
  }

  async load(archive: AsyncIterable<Uint8Array>, signal: AbortSignal): Promise<string[]> {
    try {
      return await this.#content.withStaging(async (staging) => {
        const members = await stageArchive(archive, staging, limits, signal);
        const images: StagedImage[] = [];
        const hold = (digests: Iterable<string>) => this.#content.hold(staging, [...digests]);
        for (const found of await findImages(members, staging, this.#options.architecture)) {
          const content: StagedContent = { blobs: new Map(found.blobs), layers: new Map(), verified: [] };
          hold([...found.blobs.keys(), ...found.diffIds]);
          for (const [i, { digest: blob }] of found.parsed.layers.entries()) {
            const name = { blob, diffId: found.diffIds[i] ?? "" };
            if (!(await this.#content.isReady(name)))
              await this.#content.stageLayer(name, found.blobs.get(blob) ?? "", staging, content, signal);
          }
          // When the tag moves on, running containers keep theirs by its digest.
          const digests = found.names.map((name) => `${repositoryOf(parseReference(name))}@${found.manifestDigest}`);
          images.push({ ...found, digests, content });
        }
        await this.#commit(images, { by: "file" });
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
      return await this.#pulls.run(key, signal, (shared) =>
        this.#turns.run(shared, () =>
          this.#withLogins(reference, usable, (client, proof) => this.#pull(reference, client, proof, shared, tell)),
        ),
      );
    } finally {
      if (progress) listeners.delete(progress);
      if (listeners.size === 0) this.#progress.delete(key);
    }
  }

  /** Tries one login after the other, as long as the registry refuses. */
  async #withLogins<T>(
    reference: ImageReference,
    usable: readonly RegistryCredentials[],
    work: (client: RegistryClient, proof: () => ImageProof) => Promise<T>,
  ): Promise<T> {
    const logins = usable.length > 0 ? usable : [undefined];
    for (const [i, credentials] of logins.entries()) {
      const client = new RegistryClient({ http: this.#http, reference, ...(credentials && { credentials }) });
      const proof = (): ImageProof => ({
        by: "registry",
        repository: repositoryOf(reference),
        fingerprint: credentials && client.isAuthenticated ? fingerprintOf(credentials, this.#table.salt) : undefined,
      });
      try {
        return await work(client, proof);
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
    proof: () => ImageProof,
    signal: AbortSignal,
    progress: (progress: PullProgress) => void,
  ): Promise<LocalImage> {
    const content = this.#content;
    const { architecture } = this.#options;
    return await content.withStaging(async (staging) => {
      const image = await pullImage({ client, reference, content, staging, architecture, maxBytes: limits.maxBytes, signal, progress });
      await this.#commit([image], proof());
      const local = this.#describe(image.manifestDigest);
      if (local === undefined) throw new TesseraError("InternalError", `image ${image.manifestDigest} is gone right after it was pulled`);
      return local;
    });
  }

  async proveRights(name: string, options: PullOptions): Promise<LocalImage> {
    const manifest = this.#find(name);
    if (manifest === undefined || isImageId(name)) return await this.pull(name, options);
    const reference = parseReference(name);
    const usable = credentialsFor(options.credentials ?? [], reference);
    const prefix = `${repositoryOf(reference)}@`;
    const digests = (this.#describe(manifest)?.digests ?? []).flatMap((one) => (one.startsWith(prefix) ? [one.slice(prefix.length)] : []));
    const isProven = await this.#withLogins(reference, usable, async (client, proof) => {
      for (const digest of digests) {
        if (!(await client.hasManifest(digest, options.signal))) continue;
        await this.#change(() => this.#write(withImage(this.#table, manifest, [], proof())));
        return true;
      }
      return false;
    });
    const local = this.#describe(manifest);
    return isProven && local !== undefined ? local : await this.pull(name, options);
  }

  async prepareRootfs(image: LocalImage): Promise<string[]> {
    await this.#noteUse(image.id);
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
      this.#content.hold(staging, [...image.layers, ...manifest.layers.map((layer) => layer.digest)]);
      for (const [i, layer] of manifest.layers.entries()) {
        const name = { blob: layer.digest, diffId: image.layers[i] ?? "" };
        if (!(await this.#content.isReady(name)))
          await this.#content.stageLayer(name, this.#content.blobPath(layer.digest), staging, staged, signal);
      }
      await this.#change(() => this.#content.place(staged));
    });
  }

  /** The time of the manifest's file outlives the agent. */
  async #noteUse(id: string): Promise<void> {
    const now = new Date();
    for (const [manifest, image] of this.#images) {
      if (image.id !== id) continue;
      this.#usedAtMs.set(manifest, now.getTime());
      await utimes(this.#content.blobPath(manifest), now, now).catch((error: unknown) =>
        this.#options.log?.warn({ err: error, manifest }, "when an image was used last could not be noted"),
      );
    }
  }

  stored(): readonly StoredImage[] {
    const { rights } = this.#table;
    const isLoaded = (manifest: string) => rights[manifest] === undefined || rights[manifest].loaded === true;
    const byId = new Map<string, StoredImage>();
    for (const manifest of new Set(Object.values(this.#table.names))) {
      const image = this.#describe(manifest);
      if (image === undefined) continue;
      const other = byId.get(image.id);
      const usedAtMs = Math.max(this.#usedAtMs.get(manifest) ?? 0, other?.usedAtMs ?? 0);
      byId.set(image.id, { image, usedAtMs, isLoaded: isLoaded(manifest) || other?.isLoaded === true });
    }
    return [...byId.values()];
  }

  async remove(id: string, isUsed: (image: LocalImage) => boolean): Promise<boolean> {
    return await this.#change(async () => {
      const manifests = new Set([...this.#images].flatMap(([manifest, image]) => (image.id === id ? [manifest] : [])));
      const images = [...manifests].flatMap((manifest) => this.#describe(manifest) ?? []);
      if (images.some(isUsed)) return false;
      // From here on nobody finds it, and without a turn of the event loop since the question.
      const table = withoutManifests(this.#table, manifests);
      const isNews = Object.keys(table.names).length < Object.keys(this.#table.names).length;
      this.#table = table;
      const contents = [...manifests].flatMap((manifest) => this.#contents.get(manifest) ?? []);
      for (const manifest of manifests) for (const map of [this.#images, this.#contents, this.#usedAtMs]) map.delete(manifest);
      // Names go before content, so that what is named can be run. On a full disk nothing can be written before something was removed:
      // then the manifest goes first, without which an image counts as forgotten.
      const written = isNews ? await writeImageTable(this.#tablePath, table).then(() => true, isFullDisk) : true;
      const referenced = this.#referenced();
      await this.#content.remove([...manifests, ...contents].filter((digest) => !referenced.has(digest)));
      if (!written) await writeImageTable(this.#tablePath, table);
      return true;
    });
  }

  async sweep(): Promise<void> {
    await this.#change(async () => {
      const referenced = this.#referenced();
      await this.#content.remove((await this.#content.list()).filter((digest) => !referenced.has(digest)));
    });
  }

  #referenced(): ReadonlySet<string> {
    return new Set([...this.#contents].flatMap(([manifest, digests]) => [manifest, ...digests]));
  }

  /** Gives images their place and their names, all of them or none. */
  async #commit(images: readonly StagedImage[], proof: ImageProof): Promise<void> {
    await this.#change(async () => {
      const undo: (() => Promise<void>)[] = [];
      try {
        let table = this.#table;
        for (const image of images) {
          undo.push(await this.#content.place(image.content));
          await this.#readImage(image.manifestDigest);
          table = withImage(table, image.manifestDigest, [...image.names, ...image.digests], proof);
        }
        await this.#write(table);
      } catch (error) {
        for (const step of undo.reverse()) await step();
        throw error;
      }
    });
  }

  get #tablePath(): string {
    return join(this.#options.folder, "images.json");
  }

  async #write(table: ImageTable): Promise<void> {
    const isNews = JSON.stringify(table) !== JSON.stringify(this.#table);
    if (isNews) await writeImageTable(this.#tablePath, table);
    this.#table = table;
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
    this.#contents.set(manifestDigest, [digest, ...manifest.layers.map((layer) => layer.digest), ...configuration.diffIds]);
    this.#usedAtMs.set(manifestDigest, (await stat(this.#content.blobPath(manifestDigest))).mtimeMs);
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
    return [...new Set(Object.values(this.#table.names))].flatMap((digest) => this.#describe(digest) ?? []);
  }

  #describe(manifestDigest: string): LocalImage | undefined {
    const image = this.#images.get(manifestDigest);
    if (!image) return undefined;
    const all = Object.entries(this.#table.names).flatMap(([name, digest]) => (digest === manifestDigest ? [name] : []));
    const names = all.filter((name) => !name.includes("@"));
    const ofManifest = names.map((name) => `${name.replace(/:[^:/]*$/, "")}@${manifestDigest}`);
    return { ...image, names, digests: [...new Set([...all.filter((name) => name.includes("@")), ...ofManifest])] };
  }
}

function isRefused(error: unknown): boolean {
  return error instanceof TesseraError && ["Unauthorized", "Forbidden", "NotFound"].includes(error.reason);
}

/** False for a full disk, to be gone on with; throws everything else. */
function isFullDisk(error: NodeJS.ErrnoException): false {
  if (error.code !== "ENOSPC" && error.code !== "EDQUOT") throw error;
  return false;
}

function isImageId(name: string): boolean {
  return /^sha256:[0-9a-f]{64}$/.test(name);
}

function repositoryOf({ domain, path }: ImageReference): string {
  return `${domain}/${path}`;
}

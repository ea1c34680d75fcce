import { link, mkdir, readdir, rename, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { TesseraError } from "@tessera/proto";
import type { HostFiles } from "@tessera/runtime-native";
import { type LayerLimits, unpackLayer, verifyLayer } from "./layers.ts";

/** A layer as a manifest and a configuration name it. */
export interface LayerName {
  /** Digest of the layer as it came, usually compressed. */
  readonly blob: string;
  /** Digest of its uncompressed bytes. */
  readonly diffId: string;
}

/** Content that lies complete and verified in a staging folder. */
export interface StagedContent {
  /** Staged path of each blob by its digest. */
  readonly blobs: Map<string, string>;
  /** Staged folder of each layer by its diffId; layers that the store has are not in it. */
  readonly layers: Map<string, string>;
  /** Pairs of `blob` and `diffId` that were found to belong together. */
  readonly verified: LayerName[];
}

export interface ContentStoreOptions {
  readonly folder: string;
  readonly files: Pick<HostFiles, "removeTree" | "openLayer">;
  readonly layerLimits: LayerLimits;
}

/**
 * Blobs and unpacked layers, found by digest:
 *
 *     FOLDER/blobs/sha256/<hex>    manifests, configurations, layers as they came
 *     FOLDER/layers/<hex>/         each layer unpacked once, named by its uncompressed digest
 *     FOLDER/staging/<n>/          work under way; emptied at start
 *
 * Content is completed and verified in a staging folder and then moved to its place by `place`, and moved back there to be removed, so that
 * a crash or a full disk leaves nothing half done. What has its place is never changed.
 */
export class ContentStore {
  readonly #options: ContentStoreOptions;
  /** "blob diffId" of layers that were unpacked or compared: a configuration alone may claim any layer for its own. */
  readonly #verified = new Set<string>();
  /** Digests, by staging folder, that work under way counts on. */
  readonly #held = new Map<string, Set<string>>();
  /** Digests that are being removed: as good as gone. */
  readonly #doomed = new Set<string>();
  #staged = 0;

  private constructor(options: ContentStoreOptions) {
    this.#options = options;
  }

  static async open(options: ContentStoreOptions): Promise<ContentStore> {
    const { folder, files } = options;
    await files.removeTree(join(folder, "staging"));
    for (const name of ["blobs/sha256", "layers", "staging"]) await mkdir(join(folder, name), { recursive: true, mode: 0o700 });
    return new ContentStore(options);
  }

  /** Gives `work` a folder of its own and removes it afterwards. */
  async withStaging<T>(work: (folder: string) => Promise<T>): Promise<T> {
    const staging = join(this.#options.folder, "staging", String(++this.#staged));
    await mkdir(staging, { mode: 0o700 });
    try {
      return await work(staging);
    } finally {
      this.#held.delete(staging);
      await this.#options.files.removeTree(staging);
    }
  }

  /** What lies in the store under these digests, or comes to, is not removed while the staging folder is there. */
  hold(staging: string, digests: readonly string[]): void {
    this.#held.set(staging, new Set([...(this.#held.get(staging) ?? []), ...digests]));
  }

  /** Digests of all blobs and layers. */
  async list(): Promise<string[]> {
    const [blobs, layers] = await Promise.all(["blobs/sha256", "layers"].map((name) => readdir(join(this.#options.folder, name))));
    return [...new Set([...(blobs ?? []), ...(layers ?? [])])].map((name) => `sha256:${name}`);
  }

  /** Removes blobs and layers that are not held, in this order; not to be called beside `place`. */
  async remove(digests: readonly string[]): Promise<void> {
    for (const digest of digests) {
      // Without a turn of the event loop between the look and the mark, so that nobody can come to count on it meanwhile.
      if ([...this.#held.values()].some((held) => held.has(digest))) continue;
      this.#doomed.add(digest);
      try {
        await rm(this.blobPath(digest), { force: true });
        if ((await sizeOf(this.layerPath(digest))) !== undefined) await this.#discard(this.layerPath(digest));
      } finally {
        this.#doomed.delete(digest);
      }
    }
  }

  /** A layer must not be found in part, also after a crash. */
  async #discard(path: string): Promise<void> {
    const trash = join(this.#options.folder, "staging", `removed-${++this.#staged}`);
    await rename(path, trash);
    await this.#options.files.removeTree(trash);
  }

  blobPath(digest: string): string {
    return join(this.#options.folder, "blobs/sha256", digest.replace("sha256:", ""));
  }

  layerPath(diffId: string): string {
    return join(this.#options.folder, "layers", diffId.replace("sha256:", ""));
  }

  /** Whether the blob is there. A file of another size is what a power cut left, and as good as absent. */
  async hasBlob({ digest, size }: { readonly digest: string; readonly size: number }): Promise<boolean> {
    return !this.#doomed.has(digest) && (await sizeOf(this.blobPath(digest))) === size;
  }

  async hasLayer(diffId: string): Promise<boolean> {
    return !this.#doomed.has(diffId) && (await sizeOf(this.layerPath(diffId))) !== undefined;
  }

  noteVerified({ blob, diffId }: LayerName): void {
    this.#verified.add(`${blob} ${diffId}`);
  }

  /** Whether nothing is left to do for this layer. */
  async isReady({ blob, diffId }: LayerName): Promise<boolean> {
    return this.#verified.has(`${blob} ${diffId}`) && (await this.hasLayer(diffId));
  }

  /** Unpacks the layer in `blobPath` into a folder of `staging`; one that the store has already is only compared. */
  async stageLayer(layer: LayerName, blobPath: string, staging: string, staged: StagedContent, signal: AbortSignal): Promise<void> {
    const { files, layerLimits: limits } = this.#options;
    const { diffId } = layer;
    if ((await this.hasLayer(diffId)) || staged.layers.has(diffId)) await verifyLayer({ blobPath, diffId }, { limits, signal });
    else {
      const root = join(staging, `layer-${++this.#staged}`);
      await mkdir(root, { mode: 0o755 });
      await unpackLayer({ blobPath, diffId }, { root, writer: files.openLayer(root), limits, signal });
      staged.layers.set(diffId, root);
    }
    staged.verified.push(layer);
  }

  /**
   * Moves staged content to its place; not to be called twice at a time. Returns what takes it away again, for the case that nothing
   * comes to name it. Throws when it cannot all be placed, and leaves then nothing.
   */
  async place(staged: StagedContent): Promise<() => Promise<void>> {
    const placed: string[] = [];
    const undo = async () => {
      for (const path of placed.splice(0)) await this.#discard(path);
    };
    try {
      for (const [diffId, folder] of staged.layers) {
        if (await this.hasLayer(diffId)) continue;
        await rename(folder, this.layerPath(diffId));
        placed.push(this.layerPath(diffId));
      }
      for (const [digest, path] of staged.blobs) if (await linkBlob(path, this.blobPath(digest))) placed.push(this.blobPath(digest));
      for (const { diffId } of staged.verified) {
        if (!(await this.hasLayer(diffId))) throw new TesseraError("Conflict", `layer ${diffId} was removed meanwhile; try again`);
      }
    } catch (error) {
      await undo();
      throw error;
    }
    for (const layer of staged.verified) this.noteVerified(layer);
    return undo;
  }
}

/** Gives the staged file its name in the store; false when the same content has it already. */
async function linkBlob(path: string, blob: string): Promise<boolean> {
  const [staged, present] = await Promise.all([sizeOf(path), sizeOf(blob)]);
  if (present === staged) return false;
  await rm(blob, { force: true });
  await link(path, blob);
  return true;
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

import type { Logger } from "pino";
import type { Clock } from "../clock.ts";
import type { ImageRemoval } from "../images/index.ts";
import { collectable, type DiskSettings, type DiskUse, findShortage, type Shortage, usedPercent } from "./disk-use.ts";
import { chooseVictim, type EvictionCandidate, evictionMessage } from "./eviction.ts";

/** One call for the file system's numbers each time. */
const LOOK_EVERY_MS = 10_000;
/** What could not be collected is not tried again at once; with too little left it is. */
const COLLECT_EVERY_MS = 300_000;
/** How long the node counts as short of disk after it was last seen so, as the kubelet's eviction-pressure-transition-period. */
const PRESSURE_LASTS_MS = 300_000;

export interface DiskGuardDependencies {
  readonly settings: DiskSettings;
  readonly readDisk: () => Promise<DiskUse>;
  readonly images: ImageRemoval;
  /** Names, digests and ids of the images that pods of the node run, or are about to. Asked right before each removal. */
  readonly usedImages: () => ReadonlySet<string>;
  /** What the pods of the node have written; counting it takes a while, so it is asked for only in need. */
  readonly measurePods: (signal: AbortSignal) => Promise<readonly EvictionCandidate[]>;
  /** Begins to end the pod. */
  readonly evict: (uid: string, message: string) => void;
  /** Whether anything of a pod is still on the node's disk. */
  readonly isLeft: (uid: string) => boolean;
  /** Images went, or the node's shortage began or ended. */
  readonly onChange: () => void;
  readonly event: (type: "Normal" | "Warning", reason: string, message: string) => void;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Keeps the node's disk from filling up: first unused images go, and when that is not enough pods do, one at a time. */
export class DiskGuard {
  readonly #deps: DiskGuardDependencies;
  readonly #stopping = new AbortController();
  #cancelTimer: (() => void) | undefined;
  #looking: Promise<void> = Promise.resolve();
  #collectedAtMs = Number.NEGATIVE_INFINITY;
  #shortAtMs: number | undefined;
  #victim: string | undefined;

  constructor(deps: DiskGuardDependencies) {
    this.#deps = deps;
  }

  /** Whether the node is short of disk, or was until lately. */
  get hasPressure(): boolean {
    return this.#shortAtMs !== undefined;
  }

  start(): void {
    this.#lookAgain(0);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#cancelTimer?.();
    await this.#looking;
  }

  #lookAgain(afterMs: number): void {
    const { clock, log } = this.#deps;
    this.#cancelTimer = clock.wakeAt(clock.now() + afterMs, () => {
      this.#looking = this.#look()
        .catch((error: unknown) => {
          if (!this.#stopping.signal.aborted) log.error({ err: error }, "could not look after the disk");
        })
        .finally(() => {
          if (!this.#stopping.signal.aborted) this.#lookAgain(LOOK_EVERY_MS);
        });
    });
  }

  async #look(): Promise<void> {
    const { settings, clock, readDisk } = this.#deps;
    const disk = await readDisk();
    const isShort = findShortage(disk, settings) !== undefined;
    const isFull = settings.gcHighPercent < 100 && usedPercent(disk) >= settings.gcHighPercent;
    if (isShort || (isFull && clock.now() >= this.#collectedAtMs + COLLECT_EVERY_MS)) await this.#collect(disk, isShort);
    const shortage = isShort ? findShortage(await readDisk(), settings) : undefined;
    this.#noteShortage(shortage);
    if (shortage !== undefined) await this.#evictOne(shortage);
  }

  /** In need every unused image may go, however young. */
  async #collect(before: DiskUse, isShort: boolean): Promise<void> {
    const { settings, images, clock, event, log, onChange, readDisk } = this.#deps;
    this.#collectedAtMs = clock.now();
    const isUsed = ({ id, names, digests }: { id: string; names: readonly string[]; digests: readonly string[] }) => {
      const used = this.#deps.usedImages();
      return [id, ...names, ...digests].some((name) => used.has(name));
    };
    const isEnough = (disk: DiskUse) => findShortage(disk, settings) === undefined && usedPercent(disk) <= settings.gcLowPercent;
    let disk = before;
    const removed: string[] = [];
    try {
      await this.#sweep();
      disk = await readDisk();
      for (const { image } of collectable(images.stored(), isUsed, clock.now() - (isShort ? 0 : settings.minImageAgeMs))) {
        if (isEnough(disk) || this.#stopping.signal.aborted) break;
        if (await images.remove(image.id, isUsed)) removed.push(image.names[0] ?? image.id);
        disk = await readDisk();
      }
    } catch (error) {
      log.error({ err: error }, "could not collect unused images");
      event("Warning", "ImageGCFailed", `Could not remove unused images: ${(error as Error).message}`);
    }
    if (removed.length > 0) {
      log.info({ images: removed, freedBytes: disk.availableBytes - before.availableBytes }, "unused images removed");
      onChange();
    }
    if (isEnough(disk) || this.#stopping.signal.aborted) return;
    const wanted = Math.ceil((disk.totalBytes * (usedPercent(before) - settings.gcLowPercent)) / 100);
    const freed = Math.max(0, disk.availableBytes - before.availableBytes);
    const message = `Failed to garbage collect required amount of images. Attempted to free ${wanted} bytes, but only found ${freed} bytes eligible to free.`;
    // While it lasts it has been said.
    if (!this.hasPressure) event("Warning", "FreeDiskSpaceFailed", message);
  }

  /** What has no name is somebody's garbage, unless a pod runs an image that the store cannot tell the parts of. */
  async #sweep(): Promise<void> {
    const { images, usedImages, log } = this.#deps;
    const known = new Set(images.stored().flatMap(({ image }) => [image.id, ...image.names, ...image.digests]));
    const unknown = [...usedImages()].filter((name) => /(^|@)sha256:/.test(name) && !known.has(name));
    if (unknown.length === 0) await images.sweep();
    else log.warn({ images: unknown }, "pods run images that the store does not know; content without a name stays");
  }

  #noteShortage(shortage: Shortage | undefined): void {
    const { clock, event, onChange, log } = this.#deps;
    const now = clock.now();
    if (shortage !== undefined) {
      const isNews = !this.hasPressure;
      this.#shortAtMs = now;
      if (!isNews) return;
      log.warn(shortage, "the node is short of disk");
      event("Warning", "EvictionThresholdMet", `Attempting to reclaim ${shortage.resource}`);
    } else if (this.#shortAtMs === undefined || now < this.#shortAtMs + PRESSURE_LASTS_MS) return;
    else this.#shortAtMs = undefined;
    event("Normal", this.hasPressure ? "NodeHasDiskPressure" : "NodeHasNoDiskPressure", "What is free of the node's disk has changed");
    onChange();
  }

  /** The next one only when the one before has given back what it had. */
  async #evictOne(shortage: Shortage): Promise<void> {
    const { measurePods, evict, isLeft, log } = this.#deps;
    if (this.#victim !== undefined && isLeft(this.#victim)) return;
    const victim = chooseVictim(await measurePods(this.#stopping.signal));
    this.#victim = victim?.uid;
    if (victim === undefined) log.warn(shortage, "the node is short of disk, and there is no pod that could go");
    else evict(victim.uid, evictionMessage(victim, shortage));
  }
}

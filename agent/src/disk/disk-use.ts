import { statfs } from "node:fs/promises";
import type { StoredImage } from "../images/index.ts";

/** How full the file system of the agent's data is. */
export interface DiskUse {
  readonly totalBytes: number;
  /** What ordinary users may still write. */
  readonly availableBytes: number;
  readonly totalInodes: number;
  readonly freeInodes: number;
}

export interface DiskSettings {
  /** Beyond so much of the disk unused images are removed; 100: never. */
  readonly gcHighPercent: number;
  /** Until no more than this is used. */
  readonly gcLowPercent: number;
  /** Images that were used within so long stay. */
  readonly minImageAgeMs: number;
  /** With less than so much of the disk free pods are evicted; 0: never. */
  readonly evictionPercent: number;
}

/** As the kubelet's nodefs.inodesFree. */
const LEAST_FREE_INODES_PERCENT = 5;

export async function readDisk(path: string): Promise<DiskUse> {
  const { bsize, blocks, bavail, files, ffree } = await statfs(path);
  return { totalBytes: blocks * bsize, availableBytes: bavail * bsize, totalInodes: files, freeInodes: ffree };
}

export function usedPercent({ totalBytes, availableBytes }: DiskUse): number {
  return totalBytes === 0 ? 0 : 100 - (availableBytes * 100) / totalBytes;
}

export interface Shortage {
  readonly resource: "ephemeral-storage" | "inodes";
  /** How much there should be at least, and how much there is: bytes, or a count. */
  readonly threshold: number;
  readonly available: number;
}

/** What the node has run short of; undefined: nothing. */
export function findShortage(disk: DiskUse, { evictionPercent }: DiskSettings): Shortage | undefined {
  if (evictionPercent === 0) return undefined;
  const threshold = Math.ceil((disk.totalBytes * evictionPercent) / 100);
  if (disk.availableBytes < threshold) return { resource: "ephemeral-storage", threshold, available: disk.availableBytes };
  // Some file systems make inodes as they need them, and say 0.
  const inodes = Math.ceil((disk.totalInodes * LEAST_FREE_INODES_PERCENT) / 100);
  return disk.freeInodes < inodes ? { resource: "inodes", threshold: inodes, available: disk.freeInodes } : undefined;
}

/**
 * The images that may go, in the order in which they should: those that were not used for the longest time first. What came from a file comes
 * after everything that a registry can give again.
 */
export function collectable(images: readonly StoredImage[], isUsed: (image: StoredImage["image"]) => boolean, usedBeforeMs: number) {
  return images
    .filter(({ image, usedAtMs }) => usedAtMs <= usedBeforeMs && !isUsed(image))
    .sort((a, b) => Number(a.isLoaded) - Number(b.isLoaded) || a.usedAtMs - b.usedAtMs);
}

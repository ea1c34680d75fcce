import type { ContainerImage } from "@tessera/proto";

/** One image and the nodes that have it. */
export interface HeldImage {
  /** Bytes on each node that has it, by row. */
  readonly sizes: ReadonlyMap<number, number>;
  /** The share of all nodes that have it, in eighths, rounded up. */
  readonly spread: number;
}

interface Entry extends HeldImage {
  readonly sizes: Map<number, number>;
  spread: number;
}

const steps = 8;

/**
 * Which node has which image. `onSpread` hears of each row whose images came to be on notably more or fewer nodes; in steps, so that a roll-out
 * over many nodes does not have all of them judged anew for each of them.
 */
export class ImageTable {
  readonly #images = new Map<string, Entry>();
  readonly #rows = new Map<number, readonly ContainerImage[]>();
  readonly #onSpread: (row: number) => void;
  /** The number of nodes that shares are of; follows `setNodeCount` with a tolerance. */
  #nodeCount = 1;

  constructor(onSpread: (row: number) => void) {
    this.#onSpread = onSpread;
  }

  /** By a name as `canonicalImage` writes it; undefined when no node has it. */
  get(name: string): HeldImage | undefined {
    return this.#images.get(name);
  }

  /** Takes over what a node says it has. */
  setRow(row: number, images: readonly ContainerImage[]): void {
    const before = this.#rows.get(row);
    if (before === images) return;
    if (images.length > 0) this.#rows.set(row, images);
    else this.#rows.delete(row);
    const sizes = sizesOf(images);
    for (const name of sizesOf(before ?? []).keys()) {
      if (!sizes.has(name)) this.#remove(name, row);
    }
    for (const [name, size] of sizes) this.#put(name, row, size);
  }

  setNodeCount(count: number): void {
    if (Math.abs(count - this.#nodeCount) * 16 <= this.#nodeCount) return;
    this.#nodeCount = Math.max(1, count);
    for (const image of this.#images.values()) this.#respread(image);
  }

  #put(name: string, row: number, size: number): void {
    let image = this.#images.get(name);
    if (!image) {
      image = { sizes: new Map(), spread: 0 };
      this.#images.set(name, image);
    }
    image.sizes.set(row, size);
    this.#respread(image);
  }

  #remove(name: string, row: number): void {
    const image = this.#images.get(name);
    if (!image) return;
    image.sizes.delete(row);
    if (image.sizes.size === 0) this.#images.delete(name);
    else this.#respread(image);
  }

  #respread(image: Entry): void {
    const spread = Math.min(1, Math.ceil((steps * image.sizes.size) / this.#nodeCount) / steps);
    if (spread === image.spread) return;
    image.spread = spread;
    for (const row of image.sizes.keys()) this.#onSpread(row);
  }
}

/** An image has many names, each with the size of the whole. */
function sizesOf(images: readonly ContainerImage[]): ReadonlyMap<string, number> {
  const sizes = new Map<string, number>();
  for (const { names = [], sizeBytes = 0 } of images) for (const name of names) sizes.set(canonicalImage(name), sizeBytes);
  return sizes;
}

/** "busybox" as "docker.io/library/busybox:latest", which is how nodes spell it. What is no image name stays as it is: no node has it. */
export function canonicalImage(image: string): string {
  const [first = "", ...rest] = image.split("/");
  const namesRegistry = rest.length > 0 && (/[.:]/.test(first) || first === "localhost");
  const path = namesRegistry ? rest.join("/") : image;
  const domain = namesRegistry ? first : "docker.io";
  const library = domain === "docker.io" && !path.includes("/") ? "library/" : "";
  return `${domain}/${library}${path}${/[:@]/.test(path) ? "" : ":latest"}`;
}

import { TesseraError } from "@tessera/proto";
import type { ImageRemoval, ImageStore, LocalImage } from "../images/index.ts";
import type { StreamPeer } from "./stream-peer.ts";

export interface ImageRemoveDependencies {
  readonly images: Pick<ImageStore & ImageRemoval, "resolve" | "remove" | "stored">;
  /** Names, digests and ids of the images that pods use now. */
  readonly usedImages: () => ReadonlySet<string>;
}

/** Removes the images, or without names all that no pod uses, and answers with a JSON line for each that is gone. */
export async function serveImageRemove(deps: ImageRemoveDependencies, names: readonly string[], peer: StreamPeer): Promise<string[]> {
  const { images } = deps;
  const isUsed = ({ id, names: known, digests }: LocalImage) => {
    const used = deps.usedImages();
    return [id, ...known, ...digests].some((name) => used.has(name));
  };
  const removed: string[] = [];
  const targets = names.length > 0 ? await Promise.all(names.map((name) => find(images, name))) : images.stored().map(({ image }) => image);
  for (const image of targets) {
    const name = image.names[0] ?? image.digests[0] ?? image.id;
    if (await images.remove(image.id, isUsed)) removed.push(name);
    else if (names.length > 0) throw new TesseraError("Conflict", `image "${name}" is used by a pod of this node; delete the pod first`);
  }
  for (const image of removed) await peer.send("stdout", Buffer.from(`${JSON.stringify({ image })}\n`));
  await peer.exit({});
  return removed;
}

async function find(images: Pick<ImageStore, "resolve">, name: string): Promise<LocalImage> {
  const image = await images.resolve(name);
  if (image === undefined) throw new TesseraError("NotFound", `image "${name}" is not on this node`);
  return image;
}

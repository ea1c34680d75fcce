import { posix } from "node:path";
import { TesseraError } from "@tessera/proto";
import type { ImageConfig } from "../images/index.ts";

/** Each costs a folder and a mount with every start of a container. */
const MAX_IMAGE_VOLUMES = 100;

/**
 * The paths in the container that the image declares as volumes, each once. Links in them are the runtime's to resolve, inside the image.
 * Throws TesseraError "Invalid" for what cannot be had.
 */
export function imageVolumePaths(config: Pick<ImageConfig, "volumes">): string[] {
  const paths = new Set(config.volumes.map(normalised));
  if (paths.size > MAX_IMAGE_VOLUMES) {
    throw new TesseraError("Invalid", `the image declares ${paths.size} volumes; at most ${MAX_IMAGE_VOLUMES} are supported`);
  }
  return [...paths];
}

/** A ".." ends at the root, as in the container. */
function normalised(path: string): string {
  const absolute = posix.join("/", path).replace(/\/+$/, "");
  if (path.includes("\0") || absolute === "") {
    throw new TesseraError("Invalid", `the image declares a volume at ${JSON.stringify(path)}, where there can be none`);
  }
  return absolute;
}

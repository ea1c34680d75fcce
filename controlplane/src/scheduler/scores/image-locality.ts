import type { HeldImage } from "../image-table.ts";
import type { CapacityScore } from "../plugin.ts";

const megabyte = 1024 * 1024;
/** Images smaller than this are pulled about as fast as they are found. */
const leastBytes = 23 * megabyte;
/** What a container's image is worth at most. */
const mostBytesPerContainer = 1000 * megabyte;

/**
 * Prefers nodes that have the pod's images already, by their sizes. An image that few nodes have counts for less, so that the first node which
 * got it does not get all pods as well. The thresholds are those of Kubernetes' plugin of this name.
 */
export const imageLocality: CapacityScore = {
  name: "ImageLocality",
  weight: 1,
  add(pod, nodes, candidates, count, totals) {
    const images = pod.images.map((name) => nodes.images.get(name)).filter((image): image is HeldImage => image !== undefined);
    if (images.length === 0) return;
    const most = mostBytesPerContainer * pod.images.length;
    for (let i = 0; i < count; i++) {
      const row = candidates[i] ?? 0;
      let bytes = 0;
      for (const { sizes, spread } of images) bytes += (sizes.get(row) ?? 0) * spread;
      const share = (Math.min(bytes, most) - leastBytes) / (most - leastBytes);
      if (share > 0) totals[i] = (totals[i] ?? 0) + this.weight * 100 * share;
    }
  },
};

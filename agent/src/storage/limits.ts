import { formatQuantity, quantityValue } from "@tessera/proto";
import { type PodStorage, partBytes, type StoragePart } from "./pod-storage.ts";

/** Which limit a pod has outgrown, in the words and the order of Kubernetes' eviction manager; undefined: none. */
export async function findExcess(storage: PodStorage, signal: AbortSignal): Promise<string | undefined> {
  const { volumes, containers, limitBytes } = storage;
  const isCounted = limitBytes !== undefined;
  let total = 0;
  for (const volume of volumes) {
    if (volume.limit === undefined && !isCounted) continue;
    const bytes = await partBytes(volume, boundOf(volume, limitBytes), signal);
    if (isBeyond(bytes, volume)) return `Usage of EmptyDir volume "${volume.name}" exceeds the limit "${volume.limit}".`;
    total += bytes;
  }
  if (!isCounted) return undefined;
  const used = new Map<StoragePart, number>();
  for (const container of containers) {
    const bytes = await partBytes(container, boundOf(container, limitBytes), signal);
    used.set(container, bytes);
    total += bytes;
  }
  if (total > limitBytes)
    return `Pod ephemeral local storage usage exceeds the total limit of containers ${formatQuantity(limitBytes, "BinarySI")}.`;
  const container = containers.find((one) => isBeyond(used.get(one) ?? 0, one));
  return container && `Container ${container.name} exceeded its local ephemeral storage limit "${container.limit}".`;
}

function isBeyond(bytes: number, { limit }: StoragePart): boolean {
  return limit !== undefined && bytes > quantityValue(limit);
}

/** Beyond the smaller of its bounds nothing depends on how much it is. */
function boundOf({ limit }: StoragePart, podBytes: number | undefined): number {
  return Math.min(limit === undefined ? Number.POSITIVE_INFINITY : quantityValue(limit), podBytes ?? Number.POSITIVE_INFINITY);
}

/** What the disk guard asks of the node's pods. */
import { formatReference, parseReference } from "../images/index.ts";
import type { Pods } from "../pod/pods.ts";
import type { PodWorker } from "../pod/worker.ts";
import { partBytes } from "../storage/pod-storage.ts";
import type { EvictionCandidate } from "./eviction.ts";

/** Names, digests and ids of images that pods run or are about to. */
export function usedImages(pods: Pick<Pods, "all">): ReadonlySet<string> {
  return new Set(pods.all().flatMap((worker) => worker.images().map(canonicalName)));
}

/** As the image store spells it; what is no name is nobody's image. */
function canonicalName(name: string): string {
  if (name.startsWith("sha256:")) return name;
  try {
    const reference = parseReference(name);
    const { tag, ...pinned } = reference;
    return formatReference(reference.digest === undefined ? reference : pinned);
  } catch {
    return name;
  }
}

/** Counts what each pod that could go has written. */
export async function measurePods(pods: Pick<Pods, "all">, signal: AbortSignal): Promise<EvictionCandidate[]> {
  const candidates: EvictionCandidate[] = [];
  for (const worker of pods.all()) {
    const candidate = await measurePod(worker, signal);
    if (candidate !== undefined) candidates.push(candidate);
  }
  return candidates;
}

async function measurePod({ storage, want }: PodWorker, signal: AbortSignal): Promise<EvictionCandidate | undefined> {
  if (storage === undefined) return undefined;
  const all = Number.POSITIVE_INFINITY;
  const containers: EvictionCandidate["containers"][number][] = [];
  for (const part of storage.containers) {
    const { name, requestBytes } = part;
    containers.push({ name, requestBytes, usedBytes: await partBytes(part, all, signal) });
  }
  let volumeBytes = 0;
  for (const part of storage.volumes) volumeBytes += await partBytes(part, all, signal);
  return { uid: want.uid, priority: want.pod.spec?.priority ?? 0, containers, volumeBytes };
}

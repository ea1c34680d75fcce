import { join } from "node:path";
import { quantityValue } from "@tessera/proto";
import { attemptFolders } from "../pod/container-spec.ts";
import type { PodState } from "../pod/state.ts";
import type { PodFolders } from "../pod/store.ts";
import { allContainers, type WantedPod } from "../pod/wanted.ts";
import { folderBytes } from "./folder-bytes.ts";

const RESOURCE = "ephemeral-storage";

/** A container's own files, or a volume of the pod. */
export interface StoragePart {
  readonly name: string;
  /** Folders on the node; one that is not there counts nothing. */
  readonly paths: readonly string[];
  /** As the pod says it. */
  readonly limit: string | undefined;
  readonly requestBytes: number;
}

/** What of the node's disk a pod may fill, and how far: what lives as long as the pod, and nothing of others. */
export interface PodStorage {
  /** emptyDirs on disk; those in memory are held by their file system. */
  readonly volumes: readonly StoragePart[];
  /** What containers write beside volumes, and their logs. */
  readonly containers: readonly StoragePart[];
  /** What all of it together may come to; undefined: no container has a limit. */
  readonly limitBytes: number | undefined;
}

export function podStorage(want: WantedPod, state: Pick<PodState, "record" | "preparedVolumes">, folders: PodFolders): PodStorage {
  const volumes = (want.pod.spec?.volumes ?? []).flatMap(({ name = "", emptyDir }): StoragePart[] => {
    const path = state.preparedVolumes.get(name)?.source;
    if (emptyDir === undefined || emptyDir.medium || path === undefined) return [];
    return [{ name, paths: [path], limit: limitOf(emptyDir.sizeLimit), requestBytes: 0 }];
  });
  const containers = allContainers(want).map(({ name, spec }): StoragePart => {
    const { requests, limits } = spec.resources ?? {};
    const { root } = attemptFolders(folders, name, state.record.containers[name]?.attempt ?? 0);
    const request = requests?.[RESOURCE] ?? limits?.[RESOURCE];
    const requestBytes = request === undefined ? 0 : quantityValue(request);
    return { name, paths: [root, join(folders.logs, name)], limit: limitOf(limits?.[RESOURCE]), requestBytes };
  });
  return { volumes, containers, limitBytes: podLimitBytes(want) };
}

/** Whether there is any bound that is worth counting for. */
export function isLimited(want: WantedPod): boolean {
  const volumes = want.pod.spec?.volumes ?? [];
  return podLimitBytes(want) !== undefined || volumes.some(({ emptyDir }) => limitOf(emptyDir?.sizeLimit) !== undefined);
}

/** As for a node's resources: apps and sidecars together, or an init container beside the sidecars that start before it. */
function podLimitBytes({ init, apps }: WantedPod): number | undefined {
  const limits = [...init, ...apps].flatMap(({ spec }) => limitOf(spec.resources?.limits?.[RESOURCE]) ?? []);
  if (limits.length === 0) return undefined;
  const bytes = (spec: (typeof apps)[number]["spec"]) => quantityValue(limitOf(spec.resources?.limits?.[RESOURCE]) ?? "0");
  let sidecars = 0;
  let largestInit = 0;
  for (const { kind, spec } of init) {
    if (kind === "sidecar") sidecars += bytes(spec);
    largestInit = Math.max(largestInit, kind === "sidecar" ? sidecars : sidecars + bytes(spec));
  }
  return Math.max(largestInit, sidecars + apps.reduce((sum, { spec }) => sum + bytes(spec), 0));
}

function limitOf(limit: string | undefined): string | undefined {
  return limit !== undefined && quantityValue(limit) > 0 ? limit : undefined;
}

/** Bytes that a part takes on the disk; counted no further than beyond `enoughBytes`. */
export async function partBytes({ paths }: StoragePart, enoughBytes: number, signal: AbortSignal): Promise<number> {
  let bytes = 0;
  for (const path of paths) {
    if (bytes > enoughBytes) break;
    bytes += await folderBytes(path, enoughBytes - bytes, signal).catch((error: NodeJS.ErrnoException) => {
      // An attempt that was removed meanwhile, or has not begun.
      if (error.code === "ENOENT") return 0;
      throw error;
    });
  }
  return bytes;
}

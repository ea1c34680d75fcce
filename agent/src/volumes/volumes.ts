import { chmod, chown, lstat, mkdir } from "node:fs/promises";
import { dirname, join } from "node:path";
import { type EmptyDirVolumeSource, type Pod, quantityValue, TesseraError, type Volume } from "@tessera/proto";
import type { HostFiles } from "@tessera/runtime-native";
import type { ReferencedObjects } from "../objects/referenced-objects.ts";
import { currentGeneration, replaceContent } from "./atomic-folder.ts";
import { volumeContent } from "./content.ts";
import { prepareHostPath } from "./host-path.ts";
import type { PreparedVolume, VolumeKind, VolumeRequest } from "./volume.ts";

/** Memory is only taken as files are written; this bounds what a Secret's old and new content may take together. */
const SECRET_TMPFS_BYTES = 64 << 20;

const HUGE_PAGES = "HugePages";

export interface VolumesDependencies {
  readonly hostFiles: Pick<HostFiles, "mountTmpfs" | "mountHugepages" | "unmountBelow" | "removeTree">;
  readonly objects: Pick<ReferencedObjects, "get">;
}

/** Sets volumes up and takes them down. Both are right when they never ran, half ran or ran before. */
export class Volumes {
  readonly #hostFiles: VolumesDependencies["hostFiles"];
  readonly #objects: VolumesDependencies["objects"];

  constructor({ hostFiles, objects }: VolumesDependencies) {
    this.#hostFiles = hostFiles;
    this.#objects = objects;
  }

  /** Makes the volume, or brings its content up to date. Throws TesseraError with what is missing or not supported. */
  async setUp(request: VolumeRequest): Promise<PreparedVolume> {
    const { volume } = request;
    if (volume.hostPath !== undefined) return await prepareHostPath(volume.hostPath);
    if (volume.emptyDir !== undefined) return await this.#setUpEmptyDir(request, volume.emptyDir);
    const kind = contentKind(volume);
    if (kind !== undefined) return await this.#setUpContent(request, kind);
    const source = Object.keys(volume).find((key) => key !== "name" && volume[key as keyof Volume] !== undefined);
    if (source === undefined) return await this.#setUpEmptyDir(request, {});
    throw new TesseraError("Invalid", `volumes of kind ${source} are not supported yet`);
  }

  /** Unmounts and removes all volumes of a pod. Never follows a symlink and never crosses into what is still mounted. */
  async tearDown(folder: string): Promise<void> {
    await this.#hostFiles.unmountBelow(folder);
    await this.#hostFiles.removeTree(folder);
  }

  async #setUpEmptyDir({ pod, volume, folder }: VolumeRequest, source: EmptyDirVolumeSource): Promise<PreparedVolume> {
    const path = volumePath(folder, "empty-dir", volume);
    const medium = source.medium ?? "";
    const pageBytes = medium.startsWith(HUGE_PAGES) ? hugePageBytes(pod, medium) : undefined;
    if (medium !== "" && medium !== "Memory" && pageBytes === undefined)
      throw new TesseraError("Invalid", `emptyDir medium "${medium}" does not exist`);
    await mkdir(path, { recursive: true, mode: 0o700 });
    if (pageBytes !== undefined && !(await isMountPoint(path))) await this.#hostFiles.mountHugepages(path, { pageBytes, mode: 0o777 });
    if (medium === "Memory" && !(await isMountPoint(path))) {
      const sizeBytes = source.sizeLimit === undefined ? undefined : quantityValue(source.sizeLimit);
      await this.#hostFiles.mountTmpfs(path, { mode: 0o777, ...(sizeBytes ? { sizeBytes } : {}) });
    }
    const fsGroup = pod.spec?.securityContext?.fsGroup;
    if (fsGroup !== undefined) await chown(path, 0, fsGroup);
    await chmod(path, fsGroup === undefined ? 0o777 : 0o2777);
    return { source: path, readOnly: false };
  }

  async #setUpContent({ pod, volume, folder, facts }: VolumeRequest, kind: VolumeKind): Promise<PreparedVolume> {
    const path = volumePath(folder, kind, volume);
    const prepared = { source: path, readOnly: true };
    const hasSecret =
      kind === "secret" ||
      (volume.projected?.sources ?? []).some((source) => source.secret !== undefined || source.serviceAccountToken !== undefined);
    let files: ReturnType<typeof volumeContent>;
    try {
      files = volumeContent(volume, { pod, facts, objects: this.#objects });
    } catch (error) {
      // Without a control plane, what an earlier agent wrote is still right.
      const isUnknown = error instanceof TesseraError && error.reason === "ServiceUnavailable";
      if (isUnknown && (await currentGeneration(path)) !== undefined) return prepared;
      throw error;
    }
    await mkdir(path, { recursive: true, mode: 0o700 });
    if (hasSecret && !(await isMountPoint(path))) {
      await this.#hostFiles.mountTmpfs(path, { sizeBytes: SECRET_TMPFS_BYTES, mode: 0o755 });
    } else await chmod(path, 0o755);
    await replaceContent(path, files, pod.spec?.securityContext?.fsGroup);
    return prepared;
  }
}

/** "HugePages" means the pages that the pod's containers ask for, "HugePages-2Mi" those of that size, which must be among them. */
function hugePageBytes(pod: Pod, medium: string): number {
  const containers = [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])];
  const limits = containers.flatMap(({ resources }) => Object.keys(resources?.limits ?? {}));
  const sizes = [...new Set(limits.flatMap((name) => (name.startsWith("hugepages-") ? [name.slice("hugepages-".length)] : [])))];
  const wanted = medium === HUGE_PAGES ? sizes : sizes.filter((size) => medium === `${HUGE_PAGES}-${size}`);
  const [size] = wanted;
  if (size !== undefined && wanted.length === 1) return quantityValue(size);
  const found = sizes.length === 0 ? "its containers have limits of none" : `its containers have limits of ${sizes.join(" and ")}`;
  throw new TesseraError("Invalid", `emptyDir medium "${medium}" needs exactly one size of huge pages in the pod; ${found}`);
}

function volumePath(folder: string, kind: VolumeKind, volume: Volume): string {
  const name = volume.name ?? "";
  if (!/^[a-z0-9]([-a-z0-9]*[a-z0-9])?$/.test(name)) throw new TesseraError("Invalid", `volume name "${name}" cannot be a file name`);
  return join(folder, kind, name);
}

function contentKind(volume: Volume): VolumeKind | undefined {
  if (volume.configMap !== undefined) return "config-map";
  if (volume.secret !== undefined) return "secret";
  if (volume.downwardAPI !== undefined) return "downward-api";
  return volume.projected !== undefined ? "projected" : undefined;
}

async function isMountPoint(path: string): Promise<boolean> {
  const [own, parent] = await Promise.all([lstat(path), lstat(dirname(path))]);
  return own.dev !== parent.dev;
}

import { type Container, TesseraError, type VolumeMount } from "@tessera/proto";
import type { Mount } from "@tessera/runtime-native";
import type { PreparedVolume } from "../volumes/volume.ts";

/** A file that the agent made for the container: path on the node to path in the container. */
export interface GivenFile {
  readonly source: string;
  readonly destination: string;
}

const PROPAGATION: Readonly<Record<string, Mount["propagation"]>> = {
  None: "private",
  HostToContainer: "rslave",
  Bidirectional: "rshared",
};

/**
 * The container's own mounts, outer paths before the paths inside them. A volume takes the place of a given file at the same path. Throws
 * TesseraError "Invalid" for what is not supported.
 */
export function containerMounts(container: Container, volumes: ReadonlyMap<string, PreparedVolume>, given: readonly GivenFile[]): Mount[] {
  if ((container.volumeDevices ?? []).length > 0) throw new TesseraError("Invalid", "volumeDevices are not supported yet");
  const mounts = (container.volumeMounts ?? []).map((mount) => volumeMount(container, mount, volumes));
  const taken = new Set(mounts.map((mount) => mount.destination));
  const readOnlyRoot = container.securityContext?.readOnlyRootFilesystem ?? false;
  const files = given.filter((file) => !taken.has(file.destination)).map((file) => bind(file.source, file.destination, readOnlyRoot));
  return [...files, ...mounts].sort((a, b) => depth(a.destination) - depth(b.destination));
}

function volumeMount(container: Container, mount: VolumeMount, volumes: ReadonlyMap<string, PreparedVolume>): Mount {
  const volume = volumes.get(mount.name ?? "");
  if (volume === undefined) throw new TesseraError("Invalid", `volumeMount "${mount.name ?? ""}": the pod has no such volume`);
  if (mount.subPath || mount.subPathExpr)
    throw new TesseraError("Invalid", `volumeMount "${mount.name ?? ""}": subPath is not supported yet`);
  const propagation = PROPAGATION[mount.mountPropagation ?? "None"];
  if (propagation === undefined) throw new TesseraError("Invalid", `mountPropagation "${mount.mountPropagation}" is not known`);
  if (propagation === "rshared" && !container.securityContext?.privileged) {
    throw new TesseraError("Invalid", "mountPropagation Bidirectional is for privileged containers only");
  }
  return { ...bind(volume.source, normalise(mount.mountPath ?? ""), volume.readOnly || (mount.readOnly ?? false)), propagation };
}

function bind(source: string, destination: string, readOnly: boolean): Mount {
  return { type: "bind", source, destination, readOnly, recursive: true, propagation: "private" };
}

function normalise(path: string): string {
  const parts = path.split("/").filter((part) => part !== "" && part !== ".");
  if (!path.startsWith("/") || parts.includes("..") || path.includes("\0")) {
    throw new TesseraError("Invalid", `mountPath "${path}" must be absolute and without ".."`);
  }
  if (parts.length === 0) throw new TesseraError("Invalid", "a volume cannot be mounted over the container's root");
  return `/${parts.join("/")}`;
}

function depth(path: string): number {
  return path.split("/").length;
}

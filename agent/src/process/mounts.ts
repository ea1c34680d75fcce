import { type Container, TesseraError, type VolumeMount } from "@tessera/proto";
import type { Mount } from "@tessera/runtime-native";
import type { PreparedVolume } from "../volumes/volume.ts";
import { expand } from "./expansion.ts";

/** A file that the agent made for the container: path on the node to path in the container. */
export interface GivenFile {
  readonly source: string;
  readonly destination: string;
}

export interface MountInputs {
  readonly container: Container;
  readonly volumes: ReadonlyMap<string, PreparedVolume>;
  readonly given: readonly GivenFile[];
  /** Empty folders for the volumes that the image declares; the pod's own mount at such a path takes its place. */
  readonly imageVolumes: readonly GivenFile[];
  /** The container's variables, for subPathExpr. */
  readonly variables: ReadonlyMap<string, string>;
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
export function containerMounts(inputs: MountInputs): Mount[] {
  const { container, given, imageVolumes } = inputs;
  if ((container.volumeDevices ?? []).length > 0) throw new TesseraError("Invalid", "volumeDevices are not supported yet");
  const mounts = (container.volumeMounts ?? []).map((mount) => volumeMount(mount, inputs));
  const taken = new Set(mounts.map((mount) => mount.destination));
  const readOnlyRoot = container.securityContext?.readOnlyRootFilesystem ?? false;
  const files = given.filter((file) => !taken.has(file.destination)).map((file) => bind(file.source, file.destination, readOnlyRoot));
  for (const { destination } of files) taken.add(destination);
  const declared = imageVolumes
    .filter(({ destination }) => !taken.has(destination))
    .map(({ source, destination }): Mount => ({ ...bind(source, destination, false), type: "imageVolume" }));
  return [...files, ...mounts, ...declared].sort((a, b) => depth(a.destination) - depth(b.destination));
}

function volumeMount(mount: VolumeMount, { container, volumes, variables }: MountInputs): Mount {
  const volume = volumes.get(mount.name ?? "");
  if (volume === undefined) throw new TesseraError("Invalid", `volumeMount "${mount.name ?? ""}": the pod has no such volume`);
  const propagation = PROPAGATION[mount.mountPropagation ?? "None"];
  if (propagation === undefined) throw new TesseraError("Invalid", `mountPropagation "${mount.mountPropagation}" is not known`);
  if (propagation === "rshared" && !container.securityContext?.privileged) {
    throw new TesseraError("Invalid", "mountPropagation Bidirectional is for privileged containers only");
  }
  const subPath = subPathOf(mount, variables);
  return {
    ...bind(volume.source, normalise(mount.mountPath ?? ""), volume.readOnly || (mount.readOnly ?? false)),
    propagation,
    ...(subPath === "" ? {} : { subPath }),
  };
}

/** Whatever the volume holds there the runtime looks after; here only the words are checked, which variables may have made. */
function subPathOf(mount: VolumeMount, variables: ReadonlyMap<string, string>): string {
  const wrong = (what: string) => new TesseraError("Invalid", `volumeMount "${mount.name ?? ""}": ${what}`);
  const lookUp = (name: string) => {
    const value = variables.get(name);
    if (value === undefined) throw wrong(`subPathExpr names the variable ${name}, which the container does not have`);
    return value;
  };
  const path = mount.subPathExpr ? expand(mount.subPathExpr, lookUp) : (mount.subPath ?? "");
  if (path.startsWith("/")) throw wrong(`subPath "${path}" must be relative`);
  if (path.split("/").includes("..") || path.includes("\0")) throw wrong(`subPath "${path}" must be without ".."`);
  return path;
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

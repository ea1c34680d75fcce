import {
  type ConfigMap,
  type DownwardAPIVolumeFile,
  type KeyToPath,
  type Pod,
  type Secret,
  type ServiceAccountTokenProjection,
  serviceAccountTokenName,
  TesseraError,
  type Volume,
  type VolumeProjection,
} from "@tessera/proto";
import type { ObjectKey, ReferencedObjects } from "../objects/referenced-objects.ts";
import { fieldValue, namedContainer, type PodFacts, resourceValue } from "../process/fields.ts";

/** One file of a volume that is made from API objects. */
export interface ContentFile {
  /** Relative, without "..". */
  readonly path: string;
  readonly data: Uint8Array;
  readonly mode: number;
  /** Whose it is; undefined: root's. */
  readonly uid?: number;
}

export interface ContentInputs {
  readonly pod: Pod;
  readonly facts: PodFacts;
  readonly objects: Pick<ReferencedObjects, "get">;
}

const DEFAULT_MODE = 0o644;
const MODE_BITS = 0o777;

/** A source of a volume in its one general form: what a projected volume lists, and what the others are one of. */
interface Source {
  readonly projection: VolumeProjection;
  readonly mode: number;
}

/**
 * The files of a configMap, secret, downwardAPI or projected volume. Throws TesseraError: "NotFound" for an object or key that is missing,
 * "ServiceUnavailable" for one that the control plane has not sent yet, "Invalid" for what cannot be.
 */
export function volumeContent(volume: Volume, inputs: ContentInputs): ContentFile[] {
  const files = sourcesOf(volume).flatMap((source) => sourceFiles(source, inputs));
  for (const file of files) checkPath(file.path);
  // Of two files with one path the later source wins, as in Kubernetes.
  return [...new Map(files.map((file) => [file.path, file])).values()];
}

function sourcesOf(volume: Volume): Source[] {
  const { configMap, secret, downwardAPI, projected } = volume;
  if (configMap !== undefined) return [{ projection: { configMap }, mode: configMap.defaultMode ?? DEFAULT_MODE }];
  if (secret !== undefined) {
    return [{ projection: { secret: { ...secret, name: secret.secretName } }, mode: secret.defaultMode ?? DEFAULT_MODE }];
  }
  if (downwardAPI !== undefined) return [{ projection: { downwardAPI }, mode: downwardAPI.defaultMode ?? DEFAULT_MODE }];
  return (projected?.sources ?? []).map((projection) => ({ projection, mode: projected?.defaultMode ?? DEFAULT_MODE }));
}

function sourceFiles({ projection, mode }: Source, inputs: ContentInputs): ContentFile[] {
  const { configMap, secret, downwardAPI, serviceAccountToken } = projection;
  const namespace = inputs.pod.metadata?.namespace ?? "";
  if (configMap !== undefined) {
    const name = configMap.name ?? "";
    const found = inputs.objects.get("ConfigMap", namespace, name);
    if (found.is !== "present") return missing(found.is, `configmap "${name}"`, configMap.optional ?? false);
    return keyedFiles(configMapData(found.object), configMap.items, mode, `configmap "${name}"`, configMap.optional ?? false);
  }
  if (secret !== undefined) {
    const name = secret.name ?? "";
    const found = inputs.objects.get("Secret", namespace, name);
    if (found.is !== "present") return missing(found.is, `secret "${name}"`, secret.optional ?? false);
    return keyedFiles(secretData(found.object), secret.items, mode, `secret "${name}"`, secret.optional ?? false);
  }
  if (downwardAPI !== undefined) return (downwardAPI.items ?? []).map((item) => downwardFile(item, mode, inputs));
  if (serviceAccountToken !== undefined) return tokenFile(serviceAccountToken, mode, inputs);
  const kind = Object.keys(projection)[0] ?? "nothing";
  throw new TesseraError("Invalid", `a projected volume of ${kind} is not supported yet`);
}

/** A token is for the user of the containers alone where that is one, and the group of the volumes. */
function tokenFile(projection: ServiceAccountTokenProjection, mode: number, { pod, objects }: ContentInputs): ContentFile[] {
  const { namespace = "", uid = "" } = pod.metadata ?? {};
  const found = objects.get("ServiceAccountToken", namespace, serviceAccountTokenName(uid, projection));
  if (found.is !== "present") {
    return missing(found.is, `a token of service account "${pod.spec?.serviceAccountName ?? ""}"`, false);
  }
  const owner = soleUser(pod);
  const isPrivate = owner !== undefined || pod.spec?.securityContext?.fsGroup !== undefined;
  return [
    {
      path: projection.path ?? "",
      data: Buffer.from(found.object.token),
      mode: isPrivate ? 0o600 : mode & MODE_BITS,
      ...(owner === undefined ? {} : { uid: owner }),
    },
  ];
}

/** The user that all containers of the pod run as, when the pod says so. */
function soleUser({ spec }: Pod): number | undefined {
  const containers = [...(spec?.initContainers ?? []), ...(spec?.containers ?? []), ...(spec?.ephemeralContainers ?? [])];
  const users = new Set(containers.map(({ securityContext }) => securityContext?.runAsUser ?? spec?.securityContext?.runAsUser));
  return users.size === 1 ? [...users][0] : undefined;
}

function missing(is: "unknown" | "absent", what: string, optional: boolean): ContentFile[] {
  if (is === "unknown") throw new TesseraError("ServiceUnavailable", `${what} is not here yet: the control plane has not sent it`);
  if (!optional) throw new TesseraError("NotFound", `${what} not found`);
  return [];
}

function configMapData(object: ConfigMap): Map<string, Uint8Array> {
  const text = Object.entries(object.data ?? {}).map(([key, value]): [string, Uint8Array] => [key, Buffer.from(value)]);
  return new Map([...text, ...decoded(object.binaryData)]);
}

function secretData(object: Secret): Map<string, Uint8Array> {
  return new Map(decoded(object.data));
}

function decoded(data: Readonly<Record<string, string>> | undefined): [string, Uint8Array][] {
  return Object.entries(data ?? {}).map(([key, value]) => [key, Buffer.from(value, "base64")]);
}

function keyedFiles(
  data: ReadonlyMap<string, Uint8Array>,
  items: readonly KeyToPath[] | undefined,
  mode: number,
  what: string,
  optional: boolean,
): ContentFile[] {
  if (items === undefined || items.length === 0) return [...data].map(([path, bytes]) => ({ path, data: bytes, mode: mode & MODE_BITS }));
  return items.flatMap((item) => {
    const bytes = data.get(item.key ?? "");
    if (bytes !== undefined) return [{ path: item.path ?? "", data: bytes, mode: (item.mode ?? mode) & MODE_BITS }];
    if (!optional) throw new TesseraError("NotFound", `${what} has no key "${item.key ?? ""}"`);
    return [];
  });
}

function downwardFile(item: DownwardAPIVolumeFile, mode: number, { pod, facts }: ContentInputs): ContentFile {
  const file = { path: item.path ?? "", mode: (item.mode ?? mode) & MODE_BITS };
  if (item.fieldRef !== undefined) return { ...file, data: Buffer.from(fieldValue(pod, facts, item.fieldRef)) };
  const selector = item.resourceFieldRef ?? {};
  const container = namedContainer(pod, selector.containerName ?? "");
  return { ...file, data: Buffer.from(resourceValue(container, facts, selector)) };
}

function checkPath(path: string): void {
  const parts = path.split("/");
  const isSound = path !== "" && !path.startsWith("..") && parts.every((part) => part !== "" && part !== "." && part !== "..");
  if (!isSound || path.includes("\0"))
    throw new TesseraError("Invalid", `path "${path}" of a volume's file must be relative and without ".."`);
}

/** The objects that a volume is made from. */
export function volumeReferences(volume: Volume, { metadata }: Pick<Pod, "metadata">): ObjectKey[] {
  const { namespace = "", uid = "" } = metadata ?? {};
  return sourcesOf(volume).flatMap(({ projection }): ObjectKey[] => {
    if (projection.serviceAccountToken !== undefined) {
      return [{ kind: "ServiceAccountToken", namespace, name: serviceAccountTokenName(uid, projection.serviceAccountToken) }];
    }
    if (projection.configMap?.name) return [{ kind: "ConfigMap", namespace, name: projection.configMap.name }];
    return projection.secret?.name ? [{ kind: "Secret", namespace, name: projection.secret.name }] : [];
  });
}

/** Whether the volume's files show something of the pod object that can change while the pod runs. */
export function showsPod(volume: Volume): boolean {
  return sourcesOf(volume).some(({ projection }) => projection.downwardAPI !== undefined);
}

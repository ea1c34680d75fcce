import { randomInt } from "node:crypto";
import type { Container, PodSpec, Volume } from "@tessera/proto";

/** Where programs in pods look for their token, the cluster's CA and their namespace. */
const tokenMountPath = "/var/run/secrets/kubernetes.io/serviceaccount";
const volumePrefix = "kube-api-access-";
/** An hour, and a little that tells these tokens from those that people ask for. */
const tokenSeconds = 3607;

/** Adds the volume and its mounts, to containers that have nothing of their own at that place. */
export function mountToken(spec: PodSpec): void {
  const existing = spec.volumes?.find((volume) => volume.name?.startsWith(volumePrefix));
  const name = existing?.name ?? `${volumePrefix}${randomSuffix()}`;
  let isMounted = false;
  const mount = (container: Container): Container => {
    if (container.volumeMounts?.some(({ mountPath }) => mountPath === tokenMountPath)) return container;
    isMounted = true;
    return { ...container, volumeMounts: [...(container.volumeMounts ?? []), { name, readOnly: true, mountPath: tokenMountPath }] };
  };
  if (spec.initContainers !== undefined) spec.initContainers = spec.initContainers.map(mount);
  if (spec.containers !== undefined) spec.containers = spec.containers.map(mount);
  if (isMounted && existing === undefined) spec.volumes = [...(spec.volumes ?? []), tokenVolume(name)];
}

/**
 * A pod may be replaced by the manifest that it was made from, which does not have the volume that it was given then. Brings it back, with the mounts that are
 * missing with it.
 */
export function keepTokenMount(next: PodSpec, current: PodSpec): void {
  const given = current.volumes?.find((volume) => volume.name?.startsWith(volumePrefix));
  if (given === undefined || next.volumes?.some((volume) => volume.name?.startsWith(volumePrefix))) return;
  const keep = (container: Container, before: Container | undefined): Container => {
    const mount = before?.volumeMounts?.find((each) => each.name === given.name);
    const isTaken = container.volumeMounts?.some(({ mountPath }) => mountPath === mount?.mountPath);
    return mount === undefined || isTaken ? container : { ...container, volumeMounts: [...(container.volumeMounts ?? []), mount] };
  };
  next.volumes = [...(next.volumes ?? []), given];
  if (next.initContainers !== undefined)
    next.initContainers = next.initContainers.map((each, at) => keep(each, current.initContainers?.[at]));
  if (next.containers !== undefined) next.containers = next.containers.map((each, at) => keep(each, current.containers?.[at]));
}

function tokenVolume(name: string): Volume {
  return {
    name,
    projected: {
      sources: [
        { serviceAccountToken: { expirationSeconds: tokenSeconds, path: "token" } },
        { configMap: { name: "kube-root-ca.crt", items: [{ key: "ca.crt", path: "ca.crt" }] } },
        { downwardAPI: { items: [{ path: "namespace", fieldRef: { apiVersion: "v1", fieldPath: "metadata.namespace" } }] } },
      ],
      defaultMode: 0o644,
    },
  };
}

/** Letters and digits that make no words, as generated names have them. */
function randomSuffix(): string {
  const letters = "bcdfghjklmnpqrstvwxz2456789";
  return Array.from({ length: 5 }, () => letters[randomInt(letters.length)]).join("");
}

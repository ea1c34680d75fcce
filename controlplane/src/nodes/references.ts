import { type Container, type PodSpec, serviceAccountTokenName, type VolumeProjection } from "@tessera/proto";

export type ReferenceKind = "ConfigMap" | "Secret" | "ServiceAccountToken";

/** An object that a pod names and that its node must know. */
export interface Reference {
  readonly kind: ReferenceKind;
  readonly namespace: string;
  readonly name: string;
}

export function referenceKey(reference: Reference): string {
  return `${reference.kind}/${reference.namespace}/${reference.name}`;
}

/** Every ConfigMap and Secret that the pod names, whether it is optional or not, and every token that it wants, each once. */
export function podReferences({ namespace, uid }: { readonly namespace: string; readonly uid: string }, spec: PodSpec): Reference[] {
  const found = new Map<string, Reference>();
  const add = (kind: ReferenceKind, name: string | undefined): void => {
    if (!name) return;
    const reference = { kind, namespace, name };
    found.set(referenceKey(reference), reference);
  };
  for (const container of allContainers(spec)) {
    for (const source of container.envFrom ?? []) {
      add("ConfigMap", source.configMapRef?.name);
      add("Secret", source.secretRef?.name);
    }
    for (const variable of container.env ?? []) {
      add("ConfigMap", variable.valueFrom?.configMapKeyRef?.name);
      add("Secret", variable.valueFrom?.secretKeyRef?.name);
    }
  }
  for (const volume of spec.volumes ?? []) {
    add("ConfigMap", volume.configMap?.name);
    add("Secret", volume.secret?.secretName);
    const sources: readonly VolumeProjection[] = volume.projected?.sources ?? [];
    for (const source of sources) {
      add("ConfigMap", source.configMap?.name);
      add("Secret", source.secret?.name);
      if (source.serviceAccountToken) add("ServiceAccountToken", serviceAccountTokenName(uid, source.serviceAccountToken));
    }
  }
  for (const secret of spec.imagePullSecrets ?? []) add("Secret", secret.name);
  return [...found.values()];
}

function allContainers(spec: PodSpec): readonly Pick<Container, "env" | "envFrom">[] {
  return [...(spec.initContainers ?? []), ...(spec.containers ?? []), ...(spec.ephemeralContainers ?? [])];
}

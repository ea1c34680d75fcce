import type { Container, Pod } from "@tessera/proto";

/** A ConfigMap or Secret, or a key of it, that a pod cannot do without. */
export interface Reference {
  readonly kind: "ConfigMap" | "Secret";
  readonly name: string;
  readonly key?: string;
  /** "volume conf" or "container main" */
  readonly wantedBy: string;
}

/** What must be there before the pod's containers can start. Optional ones are left out. */
export function requiredReferences({ spec }: Pod): Reference[] {
  const containers = [...(spec?.initContainers ?? []), ...(spec?.containers ?? [])];
  const found = [...(spec?.volumes ?? []).flatMap(ofVolume), ...containers.flatMap(ofContainer)];
  return found.flatMap(({ optional, ...reference }) => (optional === true || reference.name === "" ? [] : [reference]));
}

type Found = Reference & { readonly optional?: boolean };
type Volume = NonNullable<NonNullable<Pod["spec"]>["volumes"]>[number];

function ofVolume({ name = "", configMap, secret, projected }: Volume): Found[] {
  const wantedBy = `volume ${name}`;
  const keysOf = (items: readonly { key?: string }[] | undefined) => (items?.length ? items.map(({ key }) => key) : [undefined]);
  const of = (kind: Reference["kind"], object: string | undefined, source: { items?: { key?: string }[]; optional?: boolean }): Found[] =>
    keysOf(source.items).map((key) => ({
      kind,
      name: object ?? "",
      wantedBy,
      optional: source.optional,
      ...(key === undefined ? {} : { key }),
    }));
  return [
    ...(configMap === undefined ? [] : of("ConfigMap", configMap.name, configMap)),
    ...(secret === undefined ? [] : of("Secret", secret.secretName, secret)),
    ...(projected?.sources ?? []).flatMap((source) => [
      ...(source.configMap === undefined ? [] : of("ConfigMap", source.configMap.name, source.configMap)),
      ...(source.secret === undefined ? [] : of("Secret", source.secret.name, source.secret)),
    ]),
  ];
}

function ofContainer({ name, env = [], envFrom = [] }: Container): Found[] {
  const wantedBy = `container ${name}`;
  const of = (kind: Reference["kind"], source: { name?: string; key?: string; optional?: boolean } | undefined): Found[] =>
    source === undefined
      ? []
      : [{ kind, name: source.name ?? "", wantedBy, optional: source.optional, ...(source.key ? { key: source.key } : {}) }];
  return [
    ...envFrom.flatMap(({ configMapRef, secretRef }) => [...of("ConfigMap", configMapRef), ...of("Secret", secretRef)]),
    ...env.flatMap(({ valueFrom }) => [...of("ConfigMap", valueFrom?.configMapKeyRef), ...of("Secret", valueFrom?.secretKeyRef)]),
  ];
}

import { isDeepStrictEqual } from "node:util";
import type { CarriedServiceAccountToken, ConfigMap, Secret } from "@tessera/proto";

/** What is known of an object that pods of this node name. */
export type Lookup<T> =
  /** The control plane has not said anything yet, as after a start without it. */
  { readonly is: "unknown" } | { readonly is: "absent" } | { readonly is: "present"; readonly object: T };

export interface ReferencedKinds {
  ConfigMap: ConfigMap;
  Secret: Secret;
  /** A token of a pod's service account; its name is made by `serviceAccountTokenName`. */
  ServiceAccountToken: CarriedServiceAccountToken;
}

export type ReferencedContent = ReferencedKinds[keyof ReferencedKinds];

export interface ObjectKey {
  readonly kind: keyof ReferencedKinds;
  readonly namespace: string;
  readonly name: string;
}

/** The ConfigMaps, Secrets and tokens that pods of this node name, as the control plane sent them last. Only in memory: no secret is ever on disk. */
export class ReferencedObjects {
  readonly #objects = new Map<string, Lookup<ReferencedContent>>();

  get<K extends keyof ReferencedKinds>(kind: K, namespace: string, name: string): Lookup<ReferencedKinds[K]> {
    const found = this.#objects.get(keyOf({ kind, namespace, name }));
    // The map's key holds the kind, so what is found under it is of that kind.
    return (found ?? { is: "unknown" }) as Lookup<ReferencedKinds[K]>;
  }

  /** Returns whether anything changed that a pod can see: a new version alone, as new encryption keys make of every Secret, is nothing. */
  set(key: ObjectKey, object: ReferencedContent | undefined): boolean {
    const before = this.#objects.get(keyOf(key));
    this.#objects.set(keyOf(key), object === undefined ? { is: "absent" } : { is: "present", object });
    if (before?.is === "present") return object === undefined || !isDeepStrictEqual(contentOf(before.object), contentOf(object));
    return before?.is !== "absent" || object !== undefined;
  }

  forget(key: ObjectKey): void {
    this.#objects.delete(keyOf(key));
  }

  /** Forgets what no pod names any more. */
  keepOnly(keys: readonly ObjectKey[]): void {
    const kept = new Set(keys.map(keyOf));
    for (const key of this.#objects.keys()) if (!kept.has(key)) this.#objects.delete(key);
  }
}

function contentOf(object: ReferencedContent): object {
  if ("token" in object) return object;
  const { metadata: _, ...content } = object;
  return content;
}

export function keyOf({ kind, namespace, name }: ObjectKey): string {
  return `${kind}/${namespace}/${name}`;
}

/** Narrows a kind's name as it arrives from outside. */
export function isReferencedKind(kind: string): kind is keyof ReferencedKinds {
  return kind === "ConfigMap" || kind === "Secret" || kind === "ServiceAccountToken";
}

import type { ApiObject } from "./definition.ts";

/**
 * How objects lie in etcd and go over the wire: JSON with apiVersion, kind and metadata first. At rest there is no resourceVersion (it is the
 * key's revision); because metadata is the first object of the text, it can be spliced in without parsing.
 */
export function encodeObject(object: ApiObject): Buffer {
  const { apiVersion, kind, metadata = {}, ...rest } = object;
  const { resourceVersion: _revision, ...meta } = metadata;
  return Buffer.from(JSON.stringify({ apiVersion, kind, metadata: meta, ...rest }));
}

/** Freezes an object and all that it holds. */
export function deepFreeze<T>(value: T): T {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const each of Object.values(value)) deepFreeze(each);
  }
  return value;
}

/** A key's place: /registry/PLURAL/NAMESPACE/NAME, or /registry/PLURAL/NAME for cluster-scoped objects. */
export function storeKey(plural: string, namespace: string, name: string): string {
  return namespace === "" ? `/registry/${plural}/${name}` : `/registry/${plural}/${namespace}/${name}`;
}

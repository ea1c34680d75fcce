import { TesseraError } from "@tessera/proto";

/** A JSON object, as opposed to a list, null or a scalar. */
export function isRecord(value: unknown): value is { [key: string]: unknown } {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** RFC 7386: objects are merged, null removes, everything else replaces. Changes neither argument. */
export function applyMergePatch(current: unknown, patch: unknown): unknown {
  if (!isRecord(patch)) throw new TesseraError("BadRequest", "a merge patch is a JSON object");
  return merge(current, patch);
}

function merge(current: unknown, patch: unknown): unknown {
  if (!isRecord(patch)) return patch;
  const result: { [key: string]: unknown } = isRecord(current) ? { ...current } : {};
  for (const [key, value] of Object.entries(patch)) {
    if (value === null) delete result[key];
    else setOwn(result, key, merge(Object.hasOwn(result, key) ? result[key] : undefined, value));
  }
  return result;
}

/** Sets a property by any name, "__proto__" included. */
export function setOwn(object: { [key: string]: unknown }, key: string, value: unknown): void {
  Object.defineProperty(object, key, { value, enumerable: true, configurable: true, writable: true });
}

import { isDeepStrictEqual } from "node:util";
import { duplicate, type Fault, forbidden, invalid, tooLong } from "../faults.ts";
import { checkConfigKey } from "../names.ts";

/** The whole of a ConfigMap or Secret. */
const maxDataBytes = 1024 * 1024;

/** Rules of the maps of ConfigMaps and Secrets: keys become file names, no key twice, a bound on the whole. Values of `base64` maps are checked for syntax. */
export function validateKeys(maps: { readonly [field: string]: { readonly [key: string]: string } | undefined }): Fault[] {
  const faults: Fault[] = [];
  const seen = new Set<string>();
  let bytes = 0;
  for (const [field, map] of Object.entries(maps)) {
    for (const [key, value] of Object.entries(map ?? {})) {
      const path = `${field}[${key}]`;
      const fault = checkConfigKey(key);
      if (fault !== undefined) faults.push(invalid(path, key, fault));
      if (seen.has(key)) faults.push(duplicate(path, key));
      seen.add(key);
      bytes += Buffer.byteLength(value);
    }
  }
  if (bytes > maxDataBytes) faults.push(tooLong("", maxDataBytes));
  return faults;
}

/** `immutable: true` holds for good, for the data and for itself. */
export function validateImmutableData<T extends { immutable?: boolean }>(
  next: T,
  current: T,
  fields: readonly (keyof T & string)[],
): Fault[] {
  if (current.immutable !== true) return [];
  const faults: Fault[] = [];
  if (next.immutable !== true) faults.push(forbidden("immutable", "field is immutable when `immutable` is set"));
  for (const field of fields) {
    if (!isDeepStrictEqual(next[field] ?? {}, current[field] ?? {}))
      faults.push(forbidden(field, "field is immutable when `immutable` is set"));
  }
  return faults;
}

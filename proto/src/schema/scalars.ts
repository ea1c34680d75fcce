import { canonicalQuantity } from "../quantity.ts";
import type { ScalarType } from "./schema.ts";

/** A value as it is stored, or what was expected instead. */
export type ScalarResult = { readonly value: unknown } | { readonly wrongType: string } | { readonly invalid: string };

/** Checks a value that is not null, and brings it to the form in which Kubernetes stores it. */
export function decodeScalar(type: Exclude<ScalarType, "any" | "any-object">, value: unknown): ScalarResult {
  switch (type) {
    case "string":
      return typeof value === "string" ? { value } : { wrongType: "a string" };
    case "boolean":
      return typeof value === "boolean" ? { value } : { wrongType: "true or false" };
    case "int32":
      return decodeInteger(value, -(2 ** 31), 2 ** 31 - 1);
    case "int64":
      return decodeInteger(value, Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
    case "double":
      return typeof value === "number" && Number.isFinite(value) ? { value } : { wrongType: "a number" };
    case "int-or-string":
      return typeof value === "string" ? { value } : decodeInteger(value, -(2 ** 31), 2 ** 31 - 1, "a whole number or a string");
    case "quantity":
      return decodeQuantity(value);
    case "time":
      return decodeTime(value, 0);
    case "micro-time":
      return decodeTime(value, 6);
    case "bytes":
      return decodeBytes(value);
  }
}

function decodeInteger(value: unknown, least: number, most: number, expected = "a whole number"): ScalarResult {
  if (typeof value !== "number" || !Number.isInteger(value)) {
    return { wrongType: expected };
  }
  return value >= least && value <= most ? { value } : { invalid: `must be between ${least} and ${most}` };
}

function decodeQuantity(value: unknown): ScalarResult {
  if (typeof value !== "string" && typeof value !== "number") {
    return { wrongType: `a quantity such as "500m", "2" or "64Mi"` };
  }
  const canonical = canonicalQuantity(String(value));
  return canonical === undefined ? { invalid: `must be a quantity such as "500m", "2" or "64Mi"` } : { value: canonical };
}

const timePattern = /^(\d{4}-\d{2}-\d{2})T(\d{2}:\d{2}:\d{2})(\.\d+)?(Z|[+-]\d{2}:\d{2})$/;

/** Times are stored in UTC with as many digits of a second as the type has; further ones are cut off. */
function decodeTime(value: unknown, digits: 0 | 6): ScalarResult {
  if (typeof value !== "string") {
    return { wrongType: "a time as a string" };
  }
  const [, day, clock, fraction = ".", zone] = timePattern.exec(value) ?? [];
  const seconds = zone === undefined ? Number.NaN : Date.parse(`${day}T${clock}${zone}`);
  // Date.parse moves a 31st of April to the 1st of May; such a day does not exist.
  if (Number.isNaN(seconds) || !new Date(`${day}T00:00:00Z`).toISOString().startsWith(`${day}`)) {
    return { invalid: "must be a time such as 2026-01-31T08:15:00Z" };
  }
  const text = new Date(seconds).toISOString().slice(0, 19);
  return { value: digits === 0 ? `${text}Z` : `${text}${fraction.padEnd(digits + 1, "0").slice(0, digits + 1)}Z` };
}

const base64Pattern = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** Line breaks are allowed, since `base64` makes them, and left out of what is stored. */
function decodeBytes(value: unknown): ScalarResult {
  if (typeof value !== "string") {
    return { wrongType: "base64 text" };
  }
  const text = value.replaceAll(/[\r\n]/g, "");
  return text.length % 4 === 0 && base64Pattern.test(text) ? { value: text } : { invalid: "must be base64 (text goes into stringData)" };
}

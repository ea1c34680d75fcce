import { type FieldFault, fieldPath, shown } from "./field-fault.ts";
import { decodeScalar } from "./scalars.ts";
import type { FieldSchema, KindSchema, ObjectSchema, ScalarType, ValueSchema } from "./schema.ts";
import { suggest } from "./suggest.ts";

/** Bounds on what a stranger may send; each is far beyond any real object. */
const maxFaults = 100;
const maxDepth = 64;
const maxValues = 250_000;

/**
 * Checks a parsed JSON value against a schema and returns a fresh object of known fields only, in the schema's order, with values in the
 * form in which they are stored (quantities canonical, times in UTC). Reports the faults of all fields at once, up to a hundred.
 *
 * What is at fault is left out of the object. An unknown field is a fault like any other: whether that refuses the object is the caller's
 * choice (fieldValidation). null means absent. The given value is not changed.
 */
export function decodeObject(schema: KindSchema | ObjectSchema, value: unknown): { object: unknown; faults: FieldFault[] } {
  const decoder = new Decoder();
  try {
    const object = decoder.object("object" in schema ? schema.object : schema, value, "", undefined);
    return { object: object === absent ? {} : object, faults: decoder.faults };
  } catch (error) {
    if (error instanceof TooMuch) {
      return { object: {}, faults: decoder.faults };
    }
    throw error;
  }
}

/** Stands for "leave it out", which no JSON value can. */
const absent = Symbol("absent");

/** Thrown to stop at a bound; the fault that says so is already reported. */
class TooMuch extends Error {}

/** The object that is being decoded and those around it, for suggestions. */
interface Surroundings {
  readonly schema: ObjectSchema;
  readonly path: string;
  readonly outer: Surroundings | undefined;
}

class Decoder {
  readonly faults: FieldFault[] = [];
  #values = 0;

  object(schema: ObjectSchema, value: unknown, path: string, outer: Surroundings | undefined): unknown {
    this.#count(path);
    if (!isPlainObject(value)) {
      return this.#wrongType(path, "an object", value);
    }
    const here = { schema, path, outer };
    for (const name of Object.keys(value)) {
      if (!schema.fields.has(name)) {
        this.#unknownField(here, name, value[name]);
      }
    }
    const result: Record<string, unknown> = {};
    for (const field of schema.fields.values()) {
      const decoded = Object.hasOwn(value, field.name) ? this.#field(field, value[field.name], here) : absent;
      if (decoded !== absent) {
        result[field.name] = decoded;
      }
      if (field.required && isUnset(field, value)) {
        this.#fault({ type: "Required", path: fieldPath(path, field.name), message: "is required" });
      }
    }
    return result;
  }

  #field(field: FieldSchema, value: unknown, here: Surroundings): unknown {
    if (isUnsetValue(field, value)) {
      return absent;
    }
    const path = fieldPath(here.path, field.name);
    if (field.nonEmpty && isEmpty(value)) {
      this.#fault({ type: "Required", path, message: "must not be empty", value });
    }
    const decoded = this.#value(field.value, value, path, here);
    if (decoded === absent) {
      return absent;
    }
    if (field.values.length > 0 && !this.#allowed(field, decoded, path)) {
      return absent;
    }
    if (field.unique && Array.isArray(decoded)) {
      this.#checkUnique(field, decoded, path);
    }
    return decoded;
  }

  #value(schema: ValueSchema, value: unknown, path: string, here: Surroundings): unknown {
    switch (schema.type) {
      case "object":
        return this.object(schema.object, value, path, here);
      case "list":
        return this.#list(schema.items, value, path, here);
      case "map":
        return this.#map(schema.values, value, path, here);
      case "any":
        return this.#anything(value, path, 0);
      case "any-object":
        return isPlainObject(value) ? this.#anything(value, path, 0) : this.#wrongType(path, "an object", value);
      default:
        return this.#scalar(schema.type, value, path);
    }
  }

  #scalar(type: Exclude<ScalarType, "any" | "any-object">, value: unknown, path: string): unknown {
    this.#count(path);
    const result = decodeScalar(type, value);
    if ("wrongType" in result) {
      return this.#wrongType(path, result.wrongType, value);
    }
    if ("invalid" in result) {
      this.#fault({ type: "Invalid", path, message: `${result.invalid}, not ${shown(value)}`, value });
      return absent;
    }
    return result.value;
  }

  #list(items: ValueSchema, value: unknown, path: string, here: Surroundings): unknown {
    this.#count(path);
    if (!Array.isArray(value)) {
      return this.#wrongType(path, "a list", value);
    }
    // Items at fault keep their place, so that later ones keep their index in messages; the object is refused anyway.
    return value.map((item, index) => {
      const decoded = this.#value(items, item, `${path}[${index}]`, here);
      return decoded === absent ? null : decoded;
    });
  }

  #map(values: ValueSchema, value: unknown, path: string, here: Surroundings): unknown {
    this.#count(path);
    if (!isPlainObject(value)) {
      return this.#wrongType(path, "an object", value);
    }
    const result: Record<string, unknown> = {};
    for (const [key, item] of Object.entries(value)) {
      if (!this.#safeKey(key, path)) {
        continue;
      }
      // "key:" in YAML is null; Kubernetes reads it as the empty string.
      const given = item === null && values.type === "string" ? "" : item;
      const decoded = given === null ? absent : this.#value(values, given, `${path}[${key}]`, here);
      if (decoded !== absent) {
        result[key] = decoded;
      }
    }
    return result;
  }

  /** A copy of a value that no schema describes. */
  #anything(value: unknown, path: string, depth: number): unknown {
    this.#count(path);
    if (depth > maxDepth) {
      this.#fault({ type: "Invalid", path, message: `is nested more than ${maxDepth} levels deep` });
      throw new TooMuch();
    }
    if (Array.isArray(value)) {
      return value.map((item, index) => this.#anything(item, `${path}[${index}]`, depth + 1));
    }
    if (!isPlainObject(value)) {
      return value;
    }
    const result: Record<string, unknown> = {};
    for (const [key, item] of Object.entries(value)) {
      if (this.#safeKey(key, path)) {
        result[key] = this.#anything(item, fieldPath(path, key), depth + 1);
      }
    }
    return result;
  }

  /** Assigning to __proto__ would change what the object is, here or in a program that reads it later. */
  #safeKey(key: string, path: string): boolean {
    if (key !== "__proto__") {
      return true;
    }
    this.#fault({ type: "Invalid", path: `${path}[${key}]`, message: `the key ${key} is not allowed` });
    return false;
  }

  #allowed(field: FieldSchema, decoded: unknown, path: string): boolean {
    const check = (value: unknown, at: string): boolean => {
      if (typeof value !== "string" || field.values.includes(value)) {
        return true;
      }
      const near = suggest(value, field.values);
      const choices = field.values.map((allowed) => JSON.stringify(allowed)).join(", ");
      const hint = near === undefined ? "" : `, did you mean ${JSON.stringify(near)}?`;
      this.#fault({ type: "NotSupported", path: at, message: `${shown(value)} is not one of ${choices}${hint}`, value });
      return false;
    };
    return Array.isArray(decoded)
      ? decoded.map((item, index) => check(item, `${path}[${index}]`)).every((allowed) => allowed)
      : check(decoded, path);
  }

  #checkUnique(field: FieldSchema, items: readonly unknown[], path: string): void {
    const seen = new Map<string, number>();
    for (const [index, item] of items.entries()) {
      const keys = isPlainObject(item) ? field.keys.map((key) => item[key]) : [item];
      if (keys.every((key) => key === undefined)) {
        continue;
      }
      const identity = JSON.stringify(keys);
      const first = seen.get(identity);
      if (first === undefined) {
        seen.set(identity, index);
      } else {
        const at = field.keys.length === 1 ? `${path}[${index}].${field.keys[0]}` : `${path}[${index}]`;
        const value = keys.length === 1 ? keys[0] : keys;
        this.#fault({ type: "Duplicate", path: at, message: `${shown(value)} is already at ${path}[${first}]`, value });
      }
    }
  }

  #unknownField(here: Surroundings, name: string, value: unknown): void {
    const hint = suggestField(here, name);
    const message = hint === undefined ? "unknown field" : `unknown field, ${hint}`;
    this.#fault({ type: "UnknownField", path: fieldPath(here.path, name), message, value });
  }

  #wrongType(path: string, expected: string, value: unknown): typeof absent {
    const quote = expected === "a string" && (typeof value === "number" || typeof value === "boolean");
    const hint = quote ? `; write it in quotes: "${value}"` : "";
    this.#fault({ type: "WrongType", path, message: `must be ${expected}, not ${described(value)}${hint}`, value });
    return absent;
  }

  #fault(fault: FieldFault): void {
    this.faults.push(fault);
    if (this.faults.length > maxFaults) {
      this.faults[maxFaults] = { type: "Invalid", path: fault.path, message: "there are further faults" };
      throw new TooMuch();
    }
  }

  #count(path: string): void {
    this.#values++;
    if (this.#values > maxValues) {
      this.faults.push({ type: "Invalid", path, message: `the object holds more than ${maxValues} values` });
      throw new TooMuch();
    }
  }
}

/** Whether a value that is there means that the field is not set: null, and what Go would take for its zero value. */
function isUnsetValue(field: FieldSchema, value: unknown): boolean {
  if (value === null || value === undefined) {
    return true;
  }
  if (value === "") {
    return field.values.length > 0 ? !field.values.includes("") : field.default !== undefined && field.default !== "";
  }
  return value === 0 && field.zeroIsUnset;
}

function isUnset(field: FieldSchema, object: Record<string, unknown>): boolean {
  return !Object.hasOwn(object, field.name) || isUnsetValue(field, object[field.name]);
}

function isEmpty(value: unknown): boolean {
  return value === "" || (Array.isArray(value) && value.length === 0);
}

/** What a person who wrote an unknown field may have meant: a field of a similar name here, or the same one in another place. */
function suggestField({ schema, outer }: Surroundings, name: string): string | undefined {
  const near = suggest(name, schema.fields.keys());
  if (near !== undefined) {
    return `did you mean ${near}?`;
  }
  for (let around = outer; around !== undefined; around = around.outer) {
    if (around.schema.fields.has(name)) {
      return `it belongs ${around.path === "" ? "to the object itself" : `to ${around.path}`}`;
    }
  }
  for (const field of schema.fields.values()) {
    if (field.value.type === "object" && field.value.object.fields.has(name)) {
      return `it belongs to ${field.name}`;
    }
    if (field.value.type === "list" && field.value.items.type === "object" && field.value.items.object.fields.has(name)) {
      return `it belongs to the items of ${field.name}`;
    }
  }
  return undefined;
}

function isPlainObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function described(value: unknown): string {
  switch (typeof value) {
    case "string":
      return `the string ${shown(value)}`;
    case "number":
      return `the number ${shown(value)}`;
    case "object":
      return value === null ? "null" : Array.isArray(value) ? "a list" : "an object";
    default:
      return shown(value);
  }
}

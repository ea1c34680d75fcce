import type { KindSchema, ObjectSchema, ValueSchema } from "./schema.ts";

/**
 * Gives absent fields the defaults that the schema declares, in `object` itself, also in objects that a default has just made. `object` must be of the schema's form, as decodeObject
 * returns it. Defaults that depend on other fields (imagePullPolicy on the tag, requests on limits) are the registry's.
 */
export function applyDefaults(schema: KindSchema | ObjectSchema, object: unknown): void {
  defaultObject("object" in schema ? schema.object : schema, object);
}

function defaultObject(schema: ObjectSchema, object: unknown): void {
  if (typeof object !== "object" || object === null) {
    return;
  }
  const fields = object as Record<string, unknown>;
  for (const field of schema.fields.values()) {
    if (fields[field.name] === undefined && field.default !== undefined) {
      fields[field.name] = structuredClone(field.default);
    }
    if (fields[field.name] !== undefined) {
      defaultValue(field.value, fields[field.name]);
    }
  }
}

function defaultValue(schema: ValueSchema, value: unknown): void {
  if (schema.type === "object") {
    defaultObject(schema.object, value);
  } else if (schema.type === "list" && Array.isArray(value) && hasParts(schema.items)) {
    for (const item of value) {
      defaultValue(schema.items, item);
    }
  } else if (schema.type === "map" && typeof value === "object" && value !== null && hasParts(schema.values)) {
    for (const item of Object.values(value)) {
      defaultValue(schema.values, item);
    }
  }
}

function hasParts(schema: ValueSchema): boolean {
  return schema.type === "object" || schema.type === "list" || schema.type === "map";
}

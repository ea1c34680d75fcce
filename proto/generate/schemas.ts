import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { type DescField, type DescMessage, ScalarType } from "@bufbuild/protobuf";
import type { FieldData, ObjectData, PatchStrategy, ScalarType as ScalarName, SchemaData, ValueData } from "../src/schema/schema.ts";
import type { Descriptors } from "./descriptors.ts";

/**
 * Writes schemas.ts: the structural schemas of all kinds, as one string of JSON. A string costs nothing until somebody parses it, and a
 * program that never asks for a schema does not get it into its bundle.
 */
export function generateSchemas(out: string, descriptors: Descriptors): void {
  const json = JSON.stringify(schemaData(descriptors));
  writeFileSync(join(out, "schemas.ts"), `export const schemaJson = ${JSON.stringify(json)};\n`);
}

function schemaData(descriptors: Descriptors): SchemaData {
  const objects: Record<string, ObjectData> = {};
  const kinds: SchemaData["kinds"][number][] = [];
  for (const message of descriptors.messages) {
    const rules = descriptors.rulesOfMessage(message);
    if ((rules?.scalar ?? 0) !== 0) {
      continue;
    }
    objects[openApiName(message)] = {
      description: commentOf(descriptors, message),
      ...(rules?.atomic && { atomic: true }),
      fields: Object.fromEntries(message.fields.map((field) => [field.name, fieldData(descriptors, field)])),
    };
    if (rules?.kind !== undefined) {
      const { group, version, kind } = rules.kind;
      kinds.push({ group, version, kind, object: openApiName(message) });
    }
  }
  return { objects, kinds };
}

function fieldData(descriptors: Descriptors, field: DescField): FieldData {
  const rules = descriptors.rulesOfField(field);
  return {
    description: commentOf(descriptors, field),
    value: valueData(descriptors, field),
    ...(rules?.required && { required: true }),
    ...(rules?.nonEmpty && { nonEmpty: true }),
    ...(rules?.default && { default: parseDefault(field, rules.default) }),
    ...(rules?.zeroIsUnset && { zeroIsUnset: true }),
    ...(rules !== undefined && rules.values.length > 0 && { values: rules.values }),
    ...(rules !== undefined && rules.list !== 0 && { list: listTypes[rules.list] }),
    ...(rules !== undefined && rules.keys.length > 0 && { keys: rules.keys }),
    ...(rules?.unique && { unique: true }),
    ...(rules !== undefined &&
      rules.patch.length > 0 && { patch: rules.patch.map((strategy) => patchStrategies[strategy] ?? fail(field)) }),
    ...(rules?.mergeKey && { mergeKey: rules.mergeKey }),
    ...(rules?.atomic && { atomic: true }),
    ...(field.number < 1000 && { wire: rules?.within ? [rules.within, field.number - 100 * rules.within] : [field.number] }),
  };
}

/** By the numbers of the enums in schema/v1/options.proto. */
const listTypes: Readonly<Record<number, "atomic" | "set" | "map">> = { 1: "atomic", 2: "set", 3: "map" };
const patchStrategies: Readonly<Record<number, PatchStrategy>> = { 1: "merge", 2: "replace", 3: "retainKeys" };
const scalars: Readonly<Record<number, ValueData>> = {
  1: "quantity",
  2: "time",
  3: "micro-time",
  4: "int-or-string",
  5: "bytes",
  6: "any-object",
  7: "any",
  8: { list: "string" },
};
const protoScalars: Readonly<Partial<Record<ScalarType, ScalarName>>> = {
  [ScalarType.STRING]: "string",
  [ScalarType.BOOL]: "boolean",
  [ScalarType.INT32]: "int32",
  [ScalarType.INT64]: "int64",
  [ScalarType.DOUBLE]: "double",
};

function valueData(descriptors: Descriptors, field: DescField): ValueData {
  switch (field.fieldKind) {
    case "list":
      return { list: itemOf(descriptors, field, field.listKind, field.message, field.scalar) };
    case "map":
      return { map: itemOf(descriptors, field, field.mapKind, field.message, field.scalar) };
    default:
      return itemOf(descriptors, field, field.fieldKind, field.message, field.scalar);
  }
}

function itemOf(
  descriptors: Descriptors,
  field: DescField,
  kind: "scalar" | "message" | "enum",
  message: DescMessage | undefined,
  scalar: ScalarType | undefined,
): ValueData {
  if (kind === "message" && message !== undefined) {
    return scalars[descriptors.rulesOfMessage(message)?.scalar ?? 0] ?? { object: openApiName(message) };
  }
  return (kind === "scalar" && scalar !== undefined ? protoScalars[scalar] : undefined) ?? fail(field);
}

function fail(field: DescField): never {
  throw new Error(`${field.parent.typeName}.${field.name} has a type or a rule that no schema can express`);
}

function parseDefault(field: DescField, json: string): unknown {
  try {
    return JSON.parse(json);
  } catch (cause) {
    throw new Error(`the default of ${field.parent.typeName}.${field.name} is not JSON: ${json}`, { cause });
  }
}

/** The name that OpenAPI documents of Kubernetes give the type: clients and code generators rely on it. */
function openApiName(message: DescMessage): string {
  return message.typeName.replace("tessera.api.meta.v1.", "io.k8s.apimachinery.pkg.apis.meta.v1.").replace("tessera.api.", "io.k8s.api.");
}

function commentOf(descriptors: Descriptors, desc: DescMessage | DescField): string {
  const comment = descriptors.commentOf(desc);
  if (comment === "") {
    throw new Error(`${desc.kind === "field" ? `${desc.parent.typeName}.` : ""}${desc.name} has no comment, so explain would say nothing`);
  }
  return comment;
}

import { TesseraError } from "../error.ts";
import type { FieldSchema, KindSchema, ObjectSchema, ValueSchema } from "./schema.ts";
import { suggest } from "./suggest.ts";

/** What there is to say of a field, or of a whole kind. */
export interface Explanation {
  /** Path from the kind, without indices: "spec.containers.image"; empty for the kind itself. */
  readonly path: string;
  /** "string", "integer", "[]Container", "map[string]Quantity"; the kind's name for the kind itself. */
  readonly type: string;
  readonly description: string;
  /** Of the object that the field holds; empty for fields without parts. */
  readonly typeDescription: string;
  readonly required: boolean;
  /** The only values that are allowed; empty: any. */
  readonly values: readonly string[];
  /** The value of an absent field; undefined if it stays absent. */
  readonly default: unknown;
  /** The parts of what the field holds, one level deep, in the order of the API. */
  readonly fields: readonly Explanation[];
}

/**
 * Explains the field at a path such as "spec.containers.image" (empty for the kind itself); lists and maps are stepped through without an index. Throws
 * TesseraError "NotFound" with a suggestion if there is no such field.
 */
export function explainField(schema: KindSchema, path: string): Explanation {
  let object: ObjectSchema | undefined = schema.object;
  let field: FieldSchema | undefined;
  const walked: string[] = [];
  for (const step of path.split(".").filter((part) => part !== "")) {
    const found: FieldSchema | undefined = object?.fields.get(step);
    if (found === undefined) {
      throw notFound(schema, walked, step, object);
    }
    walked.push(step);
    field = found;
    object = objectIn(found.value);
  }
  const fields = [...(object?.fields.values() ?? [])].map((part) => explanationOf(part, [...walked, part.name].join("."), []));
  if (field !== undefined) {
    return explanationOf(field, walked.join("."), fields);
  }
  const { description } = schema.object;
  return { path: "", type: schema.kind, description, typeDescription: "", required: false, values: [], default: undefined, fields };
}

function notFound(schema: KindSchema, walked: readonly string[], step: string, object: ObjectSchema | undefined): TesseraError {
  const where = [schema.kind, ...walked].join(".");
  if (object === undefined) {
    return new TesseraError("NotFound", `${where} has no fields, so there is no ${step} in it`);
  }
  const near = suggest(step, object.fields.keys());
  return new TesseraError("NotFound", `${where} has no field ${step}${near === undefined ? "" : `, did you mean ${near}?`}`);
}

function explanationOf(field: FieldSchema, path: string, fields: readonly Explanation[]): Explanation {
  return {
    path,
    type: typeOf(field.value),
    description: field.description,
    typeDescription: objectIn(field.value)?.description ?? "",
    required: field.required,
    values: field.values,
    default: field.default,
    fields,
  };
}

/** The object that a value consists of, through lists and maps. */
function objectIn(value: ValueSchema): ObjectSchema | undefined {
  switch (value.type) {
    case "object":
      return value.object;
    case "list":
      return objectIn(value.items);
    case "map":
      return objectIn(value.values);
    default:
      return undefined;
  }
}

function typeOf(value: ValueSchema): string {
  switch (value.type) {
    case "object":
      return value.object.name.slice(value.object.name.lastIndexOf(".") + 1);
    case "list":
      return `[]${typeOf(value.items)}`;
    case "map":
      return `map[string]${typeOf(value.values)}`;
    default:
      return typeNames[value.type];
  }
}

/** As kubectl names them. */
const typeNames = {
  string: "string",
  boolean: "boolean",
  int32: "integer",
  int64: "integer",
  double: "number",
  quantity: "Quantity",
  time: "string",
  "micro-time": "string",
  "int-or-string": "IntOrString",
  bytes: "string",
  "any-object": "Object",
  any: "any",
} as const;

import { schemaJson } from "../../gen/schemas.ts";
import type { FieldSchema, GroupVersionKind, KindSchema, ObjectData, ObjectSchema, SchemaData, ValueData, ValueSchema } from "./schema.ts";

/** The kinds that a server knows, read from their data when first asked for. */
export class SchemaCatalog {
  readonly #json: string;
  #kinds: ReadonlyMap<string, KindSchema> | undefined;
  constructor(json: string) {
    this.#json = json;
  }

  /** The schema of a kind, or undefined for an unknown one. */
  schemaOf(kind: GroupVersionKind): KindSchema | undefined {
    return this.#load().get(keyOf(kind));
  }

  /** All kinds, in the order of their names. */
  get kinds(): KindSchema[] {
    return [...this.#load().values()];
  }

  #load(): ReadonlyMap<string, KindSchema> {
    this.#kinds ??= readSchemas(JSON.parse(this.#json) as SchemaData);
    return this.#kinds;
  }
}

/** The kinds that the protos describe. */
export const builtinKinds: SchemaCatalog = new SchemaCatalog(schemaJson);

/** The schema of a built-in kind. The same object at each call, so that it can serve as a key. */
export function schemaOf(kind: GroupVersionKind): KindSchema | undefined {
  return builtinKinds.schemaOf(kind);
}

function keyOf({ group, version, kind }: GroupVersionKind): string {
  return `${group}/${version}/${kind}`;
}

function readSchemas(data: SchemaData): ReadonlyMap<string, KindSchema> {
  // The objects are made first and their fields afterwards, since they may refer to each other in circles.
  const objects = new Map<string, ObjectSchema & { readonly fields: Map<string, FieldSchema> }>();
  for (const [name, object] of Object.entries(data.objects)) {
    objects.set(name, { name, description: object.description, atomic: object.atomic ?? false, fields: new Map() });
  }
  const find = (name: string): ObjectSchema => {
    const found = objects.get(name);
    if (found === undefined) {
      throw new Error(`the schemas name an object ${name} that they do not hold`);
    }
    return found;
  };
  for (const object of objects.values()) {
    readFields(object.fields, data.objects[object.name], find);
  }
  return new Map(data.kinds.map((kind) => [keyOf(kind), { ...kind, object: find(kind.object) }]));
}

function readFields(fields: Map<string, FieldSchema>, data: ObjectData | undefined, find: (name: string) => ObjectSchema): void {
  for (const [name, field] of Object.entries(data?.fields ?? {})) {
    fields.set(name, {
      name,
      description: field.description,
      value: readValue(field.value, find),
      required: field.required ?? false,
      nonEmpty: field.nonEmpty ?? false,
      default: field.default,
      zeroIsUnset: field.zeroIsUnset ?? false,
      values: field.values ?? [],
      list: field.list,
      keys: field.keys ?? [],
      unique: field.unique ?? false,
      patch: field.patch ?? [],
      mergeKey: field.mergeKey,
      atomic: field.atomic ?? false,
      wire: field.wire ?? [],
    });
  }
}

function readValue(data: ValueData, find: (name: string) => ObjectSchema): ValueSchema {
  if (typeof data === "string") {
    return { type: data };
  }
  if ("list" in data) {
    return { type: "list", items: readValue(data.list, find) };
  }
  if ("map" in data) {
    return { type: "map", values: readValue(data.map, find) };
  }
  return { type: "object", object: find(data.object) };
}

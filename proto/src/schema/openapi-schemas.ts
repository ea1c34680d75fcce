import type { FieldSchema, KindSchema, ObjectSchema, ValueSchema } from "./schema.ts";

/** A piece of an OpenAPI document. */
export type OpenApiJson = { [key: string]: unknown };

const refPrefix = "#/components/schemas/";

const quantityName = "io.k8s.apimachinery.pkg.api.resource.Quantity";
const timeName = "io.k8s.apimachinery.pkg.apis.meta.v1.Time";
const microTimeName = "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime";
const intOrStringName = "io.k8s.apimachinery.pkg.util.intstr.IntOrString";

/** Schemas of the values that have no type of their own in OpenAPI. */
const scalars: { readonly [name: string]: OpenApiJson } = {
  [timeName]: { type: "string", format: "date-time", description: "A point in time: RFC 3339 in whole seconds." },
  [microTimeName]: { type: "string", format: "date-time", description: "A point in time: RFC 3339 with microseconds." },
  [quantityName]: {
    oneOf: [{ type: "string" }, { type: "number" }],
    description: 'An amount with an optional suffix: "250m", "2", "64Mi".',
  },
  [intOrStringName]: {
    oneOf: [{ type: "integer" }, { type: "string" }],
    format: "int-or-string",
    description: "A whole number, or text such as a percentage or the name of a port.",
  },
};

/** Collects the schemas of the objects that a document refers to, each once. */
export class OpenApiSchemas {
  readonly #schemas = new Map<string, OpenApiJson>();

  /** A reference to the schema of a kind; adds it, and all that it refers to. `kinds` are the full names that the schema has in the document. */
  kind(schema: KindSchema, kinds: readonly { group: string; version: string; kind: string }[] = [schema]): OpenApiJson {
    const reference = this.#object(schema.object);
    const added = this.#schemas.get(schema.object.name);
    if (added !== undefined) {
      added["x-kubernetes-group-version-kind"] = kinds.map(({ group, version, kind }) => ({ group, kind, version }));
    }
    return reference;
  }

  /** A reference to a schema that is given as it is. */
  named(name: string, schema: OpenApiJson): OpenApiJson {
    this.#schemas.set(name, schema);
    return { $ref: `${refPrefix}${name}` };
  }

  /** All schemas, sorted by name. */
  toJson(): OpenApiJson {
    return Object.fromEntries([...this.#schemas].sort(([a], [b]) => (a < b ? -1 : 1)));
  }

  #object(schema: ObjectSchema): OpenApiJson {
    if (!this.#schemas.has(schema.name)) {
      // Put there before its fields are looked at: they may refer back to it.
      const json: OpenApiJson = { description: schema.description, type: "object" };
      this.#schemas.set(schema.name, json);
      this.#addFields(json, schema);
    }
    return { $ref: `${refPrefix}${schema.name}` };
  }

  #addFields(json: OpenApiJson, schema: ObjectSchema): void {
    const fields = [...schema.fields.values()];
    const required = fields.filter((field) => field.required).map((field) => field.name);
    if (required.length > 0) {
      json["required"] = required;
    }
    json["properties"] = Object.fromEntries(fields.map((field) => [field.name, this.#field(field)]));
    if (schema.atomic) {
      json["x-kubernetes-map-type"] = "atomic";
    }
  }

  #field(field: FieldSchema): OpenApiJson {
    const value = this.#value(field.value);
    if (field.values.length > 0) {
      const strings = field.value.type === "list" ? (value["items"] as OpenApiJson) : value;
      strings["enum"] = field.values;
    }
    return {
      // What stands beside $ref is ignored, so that a reference with a description of its own goes into allOf.
      ...(value["$ref"] === undefined ? value : { allOf: [value] }),
      description: field.description,
      ...(field.default !== undefined && { default: field.default }),
      ...(field.list !== undefined && { "x-kubernetes-list-type": field.list }),
      ...(field.keys.length > 0 && field.list === "map" && { "x-kubernetes-list-map-keys": field.keys }),
      ...(field.mergeKey !== undefined && { "x-kubernetes-patch-merge-key": field.mergeKey }),
      ...(field.patch.length > 0 && { "x-kubernetes-patch-strategy": field.patch.join(",") }),
      ...(field.atomic && { "x-kubernetes-map-type": "atomic" }),
    };
  }

  #value(value: ValueSchema): OpenApiJson {
    switch (value.type) {
      case "object":
        return this.#object(value.object);
      case "list":
        return { type: "array", items: this.#value(value.items) };
      case "map":
        return { type: "object", additionalProperties: this.#value(value.values) };
      case "int32":
      case "int64":
        return { type: "integer", format: value.type };
      case "double":
        return { type: "number", format: "double" };
      case "bytes":
        return { type: "string", format: "byte" };
      case "quantity":
        return this.#scalar(quantityName);
      case "time":
        return this.#scalar(timeName);
      case "micro-time":
        return this.#scalar(microTimeName);
      case "int-or-string":
        return this.#scalar(intOrStringName);
      case "any-object":
        return { type: "object" };
      case "any":
        return {};
      default:
        return { type: value.type };
    }
  }

  #scalar(name: string): OpenApiJson {
    return this.named(name, scalars[name] ?? {});
  }
}

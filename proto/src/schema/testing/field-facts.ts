/**
 * One line of text per field, such as "[]Container required list=map(name) patch=merge(name)": what clients of the API rely on. Made from an OpenAPI
 * document of Kubernetes and from the project's own, so that the two can be compared.
 */

/** The fields of each object, by the object's full name. */
export type FieldFacts = { [object: string]: { [field: string]: string } };

interface OpenApiSchema {
  readonly $ref?: string;
  readonly allOf?: readonly OpenApiSchema[];
  readonly type?: string;
  readonly format?: string;
  readonly items?: OpenApiSchema;
  readonly additionalProperties?: OpenApiSchema;
  readonly properties?: { readonly [field: string]: OpenApiSchema };
  readonly required?: readonly string[];
  readonly "x-kubernetes-list-type"?: string;
  readonly "x-kubernetes-list-map-keys"?: readonly string[];
  readonly "x-kubernetes-patch-strategy"?: string;
  readonly "x-kubernetes-patch-merge-key"?: string;
  readonly "x-kubernetes-map-type"?: string;
}

/** The facts of all objects of an OpenAPI v3 document. */
export function factsOf(document: unknown): FieldFacts {
  const { components } = document as { components: { schemas: { [name: string]: OpenApiSchema } } };
  const facts: FieldFacts = {};
  for (const [name, schema] of Object.entries(components.schemas)) {
    if (schema.properties !== undefined) {
      facts[name] = {};
      for (const [field, property] of Object.entries(schema.properties)) {
        facts[name][field] = factOf(property, schema.required?.includes(field) ?? false);
      }
    }
  }
  return facts;
}

function factOf(property: OpenApiSchema, required: boolean): string {
  const list = property["x-kubernetes-list-type"];
  const keys = property["x-kubernetes-list-map-keys"];
  const patch = property["x-kubernetes-patch-strategy"];
  const mergeKey = property["x-kubernetes-patch-merge-key"];
  return [
    typeOf(property),
    required ? "required" : "",
    list === undefined ? "" : `list=${list}${keys === undefined ? "" : `(${keys.join()})`}`,
    patch === undefined ? "" : `patch=${patch}${mergeKey === undefined ? "" : `(${mergeKey})`}`,
    property["x-kubernetes-map-type"] ?? "",
  ]
    .filter((part) => part !== "")
    .join(" ");
}

function typeOf(schema: OpenApiSchema): string {
  const reference = schema.$ref ?? schema.allOf?.[0]?.$ref;
  if (reference !== undefined) {
    const name = reference.slice(reference.lastIndexOf("/") + 1).replace(/^.*\.(?=[A-Z])/, "");
    // Names for an object of any fields, which need no schema of their own.
    return name === "FieldsV1" || name === "RawExtension" ? "object" : name;
  }
  if (schema.items !== undefined) {
    return `[]${typeOf(schema.items)}`;
  }
  if (schema.additionalProperties !== undefined) {
    return `map[${typeOf(schema.additionalProperties)}]`;
  }
  return schema.format ?? schema.type ?? "any";
}

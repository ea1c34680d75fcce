import { TesseraError } from "@tessera/proto";
import type { Api } from "../api/api.ts";
import { type ApiResource, apiVersionOf } from "../api/discovery.ts";

/** The part of an OpenAPI v3 schema that describes a field to people. */
export interface Schema {
  description?: string;
  type?: string;
  format?: string;
  $ref?: string;
  allOf?: Schema[];
  oneOf?: Schema[];
  items?: Schema;
  additionalProperties?: Schema | boolean;
  properties?: Record<string, Schema>;
  required?: string[];
  enum?: unknown[];
  default?: unknown;
  "x-kubernetes-group-version-kind"?: { group?: string; version?: string; kind?: string }[];
}

/** The schemas of one group and version. */
export class OpenApi {
  readonly #schemas: Readonly<Record<string, Schema>>;

  constructor(schemas: Readonly<Record<string, Schema>>) {
    this.#schemas = schemas;
  }

  static async read(api: Api, resource: ApiResource, signal?: AbortSignal): Promise<OpenApi> {
    const key = resource.group === "" ? `api/${resource.version}` : `apis/${resource.group}/${resource.version}`;
    const index = await api.request<{ paths?: Record<string, { serverRelativeURL?: string }> }>("GET", "/openapi/v3", { signal });
    const url = index.paths?.[key]?.serverRelativeURL;
    if (url === undefined) throw new TesseraError("NotFound", `the server describes no ${apiVersionOf(resource)} in /openapi/v3`);
    const document = await api.request<{ components?: { schemas?: Record<string, Schema> } }>("GET", url, { signal });
    return new OpenApi(document.components?.schemas ?? {});
  }

  ofKind({ group, version, kind }: ApiResource): Schema {
    const found = Object.values(this.#schemas).find((schema) =>
      schema["x-kubernetes-group-version-kind"]?.some(
        (each) => (each.group ?? "") === group && each.version === version && each.kind === kind,
      ),
    );
    if (found === undefined) throw new TesseraError("NotFound", `the server does not describe the kind ${kind}`);
    return found;
  }

  /** Follows references, to the schema that says what the value is. The description next to a reference is the field's own and goes first. */
  resolve(schema: Schema): Schema {
    const target = schema.$ref ?? (schema.allOf?.length === 1 ? schema.allOf[0]?.$ref : undefined);
    if (target === undefined) return schema;
    const referred = this.#schemas[decodeURIComponent(target.split("/").at(-1) ?? "")];
    return referred === undefined ? schema : this.resolve(referred);
  }

  /** The schema of what a list or map holds, as deep as lists and maps go; otherwise the schema itself. */
  element(schema: Schema): Schema {
    const resolved = this.resolve(schema);
    if (resolved.type === "array" && resolved.items !== undefined) return this.element(resolved.items);
    if (typeof resolved.additionalProperties === "object" && resolved.properties === undefined)
      return this.element(resolved.additionalProperties);
    return resolved;
  }

  /** "[]Container", "map[string]string", "integer", "PodSpec" */
  typeName(schema: Schema): string {
    const target = schema.$ref ?? (schema.allOf?.length === 1 ? schema.allOf[0]?.$ref : undefined);
    if (target !== undefined) {
      const referred = this.resolve(schema);
      const name = target.split(".").at(-1) ?? target;
      // A Quantity or a Time is a string with a name; objects and these are better named than "object".
      return referred.properties !== undefined || referred.type !== "object" ? name : "Object";
    }
    if (schema.type === "array") return `[]${schema.items === undefined ? "Object" : this.typeName(schema.items)}`;
    if (typeof schema.additionalProperties === "object") return `map[string]${this.typeName(schema.additionalProperties)}`;
    if (schema.oneOf !== undefined) return schema.oneOf.map((each) => each.type).join(" or ");
    return schema.type === undefined || schema.type === "object" ? "Object" : schema.type;
  }
}

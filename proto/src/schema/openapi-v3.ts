import type { APIResource } from "../../gen/api.ts";
import { builtinKinds, type SchemaCatalog } from "./catalog.ts";
import {
  nameParameter,
  namespaceParameter,
  type OpenApiParameter,
  parameterV3,
  subresourceParameters,
  verbParameters,
} from "./openapi-parameters.ts";
import { type OpenApiJson, OpenApiSchemas } from "./openapi-schemas.ts";
import type { GroupVersionKind, KindSchema } from "./schema.ts";

/** A version of a group; group is empty for the core group. */
export interface GroupVersion {
  readonly group: string;
  readonly version: string;
}

/** Where a group version is served, without a leading slash: "api/v1", "apis/apps/v1". It is the key of its document too. */
export function groupVersionPath({ group, version }: GroupVersion): string {
  return group === "" ? `api/${version}` : `apis/${group}/${version}`;
}

/**
 * The OpenAPI v3 document of a group version, as kubectl reads it: `explain` needs the schemas and which path is of which kind; `apply`
 * needs the merge keys, and the parameters and content types of PATCH to know what the server can do.
 *
 * `resources` is what discovery says of the group version, subresources ("pods/log") included.
 */
export function openApiV3(
  groupVersion: GroupVersion,
  resources: readonly APIResource[],
  catalog: SchemaCatalog = builtinKinds,
): OpenApiJson {
  const document = new DocumentV3(groupVersion, catalog);
  for (const resource of resources) {
    document.add(resource);
  }
  return document.toJson();
}

/** The answer to GET /openapi/v3: where each group version's document is. The hash lets clients keep what has not changed. */
export function openApiV3Index(documents: readonly { readonly path: string; readonly hash: string }[]): OpenApiJson {
  return {
    paths: Object.fromEntries(documents.map(({ path, hash }) => [path, { serverRelativeURL: `/openapi/v3/${path}?hash=${hash}` }])),
  };
}

const patchTypes = [
  "application/json-patch+json",
  "application/merge-patch+json",
  "application/strategic-merge-patch+json",
  "application/apply-patch+yaml",
];

/** The HTTP method of each verb that is a call of its own; watch is a list with a parameter. */
const methods: { readonly [verb: string]: string } = {
  get: "get",
  list: "get",
  create: "post",
  update: "put",
  patch: "patch",
  delete: "delete",
  deletecollection: "delete",
};

/** Verbs of a resource that work on all objects together. */
const collectionVerbs = new Set(["list", "create", "deletecollection"]);

class DocumentV3 {
  readonly #groupVersion: GroupVersion;
  readonly #catalog: SchemaCatalog;
  readonly #schemas = new OpenApiSchemas();
  readonly #paths = new Map<string, OpenApiJson>();
  constructor(groupVersion: GroupVersion, catalog: SchemaCatalog) {
    this.#groupVersion = groupVersion;
    this.#catalog = catalog;
  }

  add(resource: APIResource): void {
    const [name = "", subresource] = (resource.name ?? "").split("/");
    const root = `/${groupVersionPath(this.#groupVersion)}`;
    const collection = resource.namespaced ? `${root}/namespaces/{namespace}/${name}` : `${root}/${name}`;
    const parameters = resource.namespaced ? [namespaceParameter] : [];
    if (subresource !== undefined) {
      this.#path(`${collection}/{name}/${subresource}`, [...parameters, nameParameter], resource, resource.verbs ?? [], subresource);
      return;
    }
    const verbs = resource.verbs ?? [];
    this.#path(
      collection,
      parameters,
      resource,
      verbs.filter((verb) => collectionVerbs.has(verb)),
    );
    this.#path(
      `${collection}/{name}`,
      [...parameters, nameParameter],
      resource,
      verbs.filter((verb) => !collectionVerbs.has(verb)),
    );
    if (resource.namespaced) {
      this.#path(
        `${root}/${name}`,
        [],
        resource,
        verbs.filter((verb) => verb === "list"),
      );
    }
  }

  toJson(): OpenApiJson {
    return {
      openapi: "3.0.0",
      info: { title: "Tessera", version: "unversioned" },
      paths: Object.fromEntries([...this.#paths].sort(([a], [b]) => (a < b ? -1 : 1))),
      components: { schemas: this.#schemas.toJson() },
    };
  }

  #path(
    path: string,
    parameters: readonly OpenApiParameter[],
    resource: APIResource,
    verbs: readonly string[],
    subresource?: string,
  ): void {
    const operations = verbs
      .filter((verb) => methods[verb] !== undefined)
      .map((verb) => [methods[verb], this.#operation(path, verb, resource, subresource)]);
    if (operations.length > 0) {
      this.#paths.set(path, {
        ...(parameters.length > 0 && { parameters: parameters.map(parameterV3) }),
        ...Object.fromEntries(operations),
      });
    }
  }

  #operation(path: string, verb: string, resource: APIResource, subresource: string | undefined): OpenApiJson {
    const kind = kindOf(resource, this.#groupVersion);
    const schema = this.#catalog.schemaOf(kind);
    const plain = subresource === undefined ? undefined : subresourceParameters[subresource];
    return {
      description: `${verb} ${resource.name}`,
      operationId: operationId(path, verb),
      tags: [operationTag(this.#groupVersion)],
      "x-kubernetes-action": verb === "create" ? "post" : verb === "update" ? "put" : verb,
      "x-kubernetes-group-version-kind": { group: kind.group, kind: kind.kind, version: kind.version },
      parameters: (plain ?? verbParameters[verb] ?? []).map(parameterV3),
      ...(plain === undefined && schema !== undefined && this.#body(verb, schema)),
      responses: {
        "200": { description: "OK", content: this.#answer(verb, schema, plain !== undefined) },
        "401": { description: "Unauthorized" },
      },
    };
  }

  #body(verb: string, schema: KindSchema): OpenApiJson {
    switch (verb) {
      case "create":
      case "update":
        return { requestBody: { required: true, content: { "*/*": { schema: this.#kind(schema) } } } };
      case "patch": {
        const patch = this.#schemas.named("io.k8s.apimachinery.pkg.apis.meta.v1.Patch", {
          type: "object",
          description: "A change to an object.",
        });
        return { requestBody: { required: true, content: Object.fromEntries(patchTypes.map((type) => [type, { schema: patch }])) } };
      }
      case "delete":
      case "deletecollection": {
        const options = this.#catalog.schemaOf({ group: "", version: "v1", kind: "DeleteOptions" });
        return options === undefined ? {} : { requestBody: { content: { "*/*": { schema: this.#kind(options) } } } };
      }
      default:
        return {};
    }
  }

  #answer(verb: string, schema: KindSchema | undefined, plain: boolean): OpenApiJson {
    if (plain || schema === undefined) {
      return { "text/plain": { schema: { type: "string" } } };
    }
    const list = verb === "list" ? this.#catalog.schemaOf({ ...schema, kind: `${schema.kind}List` }) : undefined;
    return { "application/json": { schema: this.#kind(list ?? schema) } };
  }

  #kind(schema: KindSchema): OpenApiJson {
    // These belong to no group: each group has them, as Kubernetes' documents say it.
    const everywhere = schema.kind === "DeleteOptions" && this.#groupVersion.group !== "";
    return this.#schemas.kind(schema, everywhere ? [schema, { ...schema, ...this.#groupVersion }] : [schema]);
  }
}

/** The kind of a resource's objects: of the group version, unless the resource says otherwise. */
function kindOf(resource: APIResource, { group, version }: GroupVersion): GroupVersionKind {
  return { group: resource.group ?? group, version: resource.version ?? version, kind: resource.kind ?? "" };
}

/** Unique in the document, and stable, since client generators name functions by it. */
function operationId(path: string, verb: string): string {
  const words = path.split("/").filter((part) => part !== "");
  return (
    verb +
    words
      .map((part) => part.replaceAll(/[{}]/g, ""))
      .map((part) => part.charAt(0).toUpperCase() + part.slice(1).replaceAll(/[^A-Za-z0-9]/g, ""))
      .join("")
  );
}

function operationTag({ group, version }: GroupVersion): string {
  return `${group === "" ? "core" : (group.split(".", 1)[0] ?? group)}_${version}`;
}

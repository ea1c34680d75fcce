import assert from "node:assert/strict";
import { test } from "node:test";
import { builtinKinds } from "./catalog.ts";
import { openApiV3, openApiV3Index } from "./openapi-v3.ts";

const everything = ["get", "list", "watch", "create", "update", "patch", "delete", "deletecollection"];
const document = openApiV3({ group: "", version: "v1" }, [
  { name: "pods", namespaced: true, kind: "Pod", verbs: everything },
  { name: "pods/log", namespaced: true, kind: "Pod", verbs: ["get"] },
  { name: "pods/status", namespaced: true, kind: "Pod", verbs: ["get", "update", "patch"] },
  { name: "pods/eviction", namespaced: true, group: "policy", version: "v1", kind: "Eviction", verbs: ["create"] },
  { name: "nodes", namespaced: false, kind: "Node", verbs: ["get", "list"] },
]) as unknown as OpenApi;

interface OpenApi {
  paths: { [path: string]: { [method: string]: Operation } };
  components: { schemas: { [name: string]: Schema } };
}
interface Operation {
  parameters: { name: string; in: string }[];
  requestBody: { content: { [type: string]: { schema: Schema } } };
  responses: { [code: string]: { content: { [type: string]: { schema: Schema } } } };
  operationId: string;
  "x-kubernetes-action": string;
  "x-kubernetes-group-version-kind": { group: string; version: string; kind: string };
}
interface Schema {
  $ref?: string;
  allOf?: Schema[];
  type?: string;
  description?: string;
  default?: unknown;
  enum?: string[];
  items?: Schema;
  properties?: { [field: string]: Schema };
  required?: string[];
  "x-kubernetes-group-version-kind"?: unknown[];
  "x-kubernetes-list-type"?: string;
}

function operation(path: string, method: string): Operation {
  const found = document.paths[path]?.[method];
  assert.ok(found, `${method} ${path}`);
  return found;
}

test("each resource has its paths with the methods of its verbs", () => {
  const methods = Object.fromEntries(
    Object.entries(document.paths).map(([path, item]) => [
      path,
      Object.keys(item)
        .filter((key) => key !== "parameters")
        .sort(),
    ]),
  );
  assert.deepEqual(methods, {
    "/api/v1/namespaces/{namespace}/pods": ["delete", "get", "post"],
    "/api/v1/namespaces/{namespace}/pods/{name}": ["delete", "get", "patch", "put"],
    "/api/v1/namespaces/{namespace}/pods/{name}/eviction": ["post"],
    "/api/v1/namespaces/{namespace}/pods/{name}/log": ["get"],
    "/api/v1/namespaces/{namespace}/pods/{name}/status": ["get", "patch", "put"],
    "/api/v1/nodes": ["get"],
    "/api/v1/nodes/{name}": ["get"],
    "/api/v1/pods": ["get"],
  });
});

test("operations say what kubectl asks of them before it applies", () => {
  const patch = operation("/api/v1/namespaces/{namespace}/pods/{name}", "patch");
  assert.deepEqual(patch["x-kubernetes-group-version-kind"], { group: "", kind: "Pod", version: "v1" });
  assert.ok(patch.requestBody.content["application/strategic-merge-patch+json"]);
  for (const name of ["fieldValidation", "dryRun", "fieldManager"]) {
    assert.ok(
      patch.parameters.some((parameter) => parameter.name === name && parameter.in === "query"),
      name,
    );
  }
  assert.deepEqual(operation("/api/v1/namespaces/{namespace}/pods/{name}/eviction", "post")["x-kubernetes-group-version-kind"], {
    group: "policy",
    kind: "Eviction",
    version: "v1",
  });
  assert.ok(operation("/api/v1/namespaces/{namespace}/pods/{name}/log", "get").parameters.some(({ name }) => name === "tailLines"));
  const ids = Object.values(document.paths).flatMap((item) => Object.values(item).flatMap(({ operationId }) => operationId ?? []));
  assert.equal(new Set(ids).size, ids.length, "operation ids are unique");
});

test("a list answers with the kind's list", () => {
  const answer = operation("/api/v1/pods", "get").responses["200"]?.content["application/json"]?.schema;
  assert.deepEqual(answer, { $ref: "#/components/schemas/io.k8s.api.core.v1.PodList" });
});

test("schemas have kinds, required fields, defaults, allowed values and descriptions", () => {
  const { schemas } = document.components;
  assert.deepEqual(schemas["io.k8s.api.core.v1.Pod"]?.["x-kubernetes-group-version-kind"], [{ group: "", kind: "Pod", version: "v1" }]);
  const spec = schemas["io.k8s.api.core.v1.PodSpec"];
  assert.deepEqual(spec?.required, ["containers"]);
  assert.deepEqual(spec?.properties?.["restartPolicy"], {
    type: "string",
    description: "Which ended containers are started again.",
    default: "Always",
    enum: ["Always", "OnFailure", "Never"],
  });
  assert.deepEqual(spec?.properties?.["affinity"]?.allOf, [{ $ref: "#/components/schemas/io.k8s.api.core.v1.Affinity" }]);
  assert.deepEqual(schemas["io.k8s.api.core.v1.PersistentVolumeClaimSpec"]?.properties?.["accessModes"]?.items?.enum?.length, 4);
});

test("every reference leads to a schema", () => {
  const text = JSON.stringify(document);
  const references = new Set([...text.matchAll(/"\$ref":"#\/components\/schemas\/([^"]+)"/g)].map(([, name]) => name ?? ""));
  assert.ok(references.size > 100);
  assert.deepEqual(
    [...references].filter((name) => document.components.schemas[name] === undefined),
    [],
  );
});

test("every object and field of every kind is described", () => {
  for (const kind of builtinKinds.kinds) {
    assert.match(kind.object.description, /\.$/, kind.kind);
    for (const field of kind.object.fields.values()) {
      assert.match(field.description, /\.$/, `${kind.kind}.${field.name}`);
    }
  }
});

test("the index leads to each document by its hash", () => {
  assert.deepEqual(openApiV3Index([{ path: "api/v1", hash: "A1" }]), {
    paths: { "api/v1": { serverRelativeURL: "/openapi/v3/api/v1?hash=A1" } },
  });
});

import assert from "node:assert/strict";
import test from "node:test";
import { TesseraError } from "@tessera/proto";
import { parseResourcePath, type ResourcePath } from "./target.ts";

const none: ResourcePath = { group: "", version: "v1", namespace: "", resource: "", name: "", subresource: "" };

const cases: [path: string, wanted: Partial<ResourcePath> | undefined][] = [
  ["/", undefined],
  ["/version", undefined],
  ["/api", undefined],
  ["/api/v1", undefined],
  ["/apis/apps/v1", undefined],
  ["/api/v1/pods", { resource: "pods" }],
  ["/api/v1/nodes/node-1/status", { resource: "nodes", name: "node-1", subresource: "status" }],
  ["/api/v1/namespaces", { resource: "namespaces" }],
  ["/api/v1/namespaces/shop", { resource: "namespaces", name: "shop" }],
  ["/api/v1/namespaces/shop/status", { resource: "namespaces", name: "shop", subresource: "status" }],
  ["/api/v1/namespaces/shop/finalize", { resource: "namespaces", name: "shop", subresource: "finalize" }],
  ["/api/v1/namespaces/shop/pods", { namespace: "shop", resource: "pods" }],
  ["/api/v1/namespaces/shop/pods/web/log", { namespace: "shop", resource: "pods", name: "web", subresource: "log" }],
  ["/apis/coordination.k8s.io/v1/namespaces/a/leases/b", { group: "coordination.k8s.io", namespace: "a", resource: "leases", name: "b" }],
  ["/api/v1/namespaces/a/configmaps/x%2Fy", { namespace: "a", resource: "configmaps", name: "x/y" }],
];

for (const [path, wanted] of cases) {
  test(`${path} names ${JSON.stringify(wanted)}`, () => {
    assert.deepEqual(parseResourcePath(path), wanted && { ...none, ...wanted });
  });
}

test("a path beyond the subresource leads nowhere", () => {
  assert.throws(
    () => parseResourcePath("/api/v1/namespaces/a/pods/b/log/c"),
    (error) => error instanceof TesseraError && error.reason === "NotFound",
  );
});

test("bad percent-encoding is a bad request", () => {
  assert.throws(
    () => parseResourcePath("/api/v1/pods/%zz"),
    (error) => error instanceof TesseraError && error.reason === "BadRequest",
  );
});

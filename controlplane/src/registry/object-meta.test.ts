import assert from "node:assert/strict";
import test from "node:test";
import { checkDnsSubdomain } from "./names.ts";
import { generateName, newObjectMeta, updatedObjectMeta, validateMeta, validateMetaUpdate } from "./object-meta.ts";

const options = { namespaced: true, namespace: "shop", countsGeneration: true, nowMs: Date.parse("2026-01-01T00:00:00.900Z") };

test("what only the server decides cannot be sent", () => {
  const meta = newObjectMeta(
    {
      name: "a",
      uid: "mine",
      creationTimestamp: "1999-01-01T00:00:00Z",
      generation: 7,
      resourceVersion: "3",
      deletionTimestamp: "x",
      managedFields: [{}],
    },
    options,
  );
  assert.match(meta.uid ?? "", /^[0-9a-f-]{36}$/);
  const { uid: _, ...rest } = meta;
  assert.deepEqual(rest, { name: "a", namespace: "shop", generation: 1, creationTimestamp: "2026-01-01T00:00:00Z" });
});

test("a generated name keeps its prefix and stays within a DNS label", () => {
  assert.match(generateName("web-"), /^web-[a-z0-9]{5}$/);
  assert.equal(generateName("x".repeat(100)).length, 63);
  assert.notEqual(generateName("a"), generateName("a"));
});

test("an update keeps identity, and reports attempts to change it", () => {
  const current = { name: "a", namespace: "shop", uid: "u", creationTimestamp: "2026-01-01T00:00:00Z", generation: 2 };
  const sent = { name: "a", creationTimestamp: "2020-01-01T00:00:00Z", generation: 9, labels: { a: "b" } };
  assert.deepEqual(updatedObjectMeta(sent, current), { ...current, labels: { a: "b" } });
  assert.deepEqual(
    validateMetaUpdate(sent, current).map((fault) => fault.path),
    ["metadata.creationTimestamp"],
  );
});

test("no finalizer can be added to an object that is being deleted", () => {
  const current = { name: "a", deletionTimestamp: "2026-01-01T00:00:00Z", finalizers: ["example.com/a"] };
  const [fault] = validateMetaUpdate({ ...current, finalizers: ["example.com/a", "example.com/b"] }, current);
  assert.equal(fault?.path, "metadata.finalizers");
  assert.match(fault?.message ?? "", /example\.com\/b/);
  assert.deepEqual(validateMetaUpdate({ ...current, finalizers: [] }, current), []);
});

test("all faults of metadata are told at once", () => {
  const object = {
    metadata: {
      name: "A",
      labels: { "a/b/c": "x", ok: "-" },
      annotations: { "": "x", big: "x".repeat(300_000) },
      finalizers: ["plain"],
      ownerReferences: [
        { apiVersion: "v1", kind: "Pod", name: "p", uid: "1", controller: true },
        { apiVersion: "v1", kind: "Pod", name: "q", uid: "1", controller: true },
      ],
    },
  };
  assert.deepEqual(
    validateMeta(object, true, checkDnsSubdomain).map((fault) => fault.path),
    [
      "metadata.name",
      "metadata.labels",
      "metadata.labels",
      "metadata.annotations",
      "metadata.annotations",
      "metadata.finalizers[0]",
      "metadata.ownerReferences[1].uid",
      "metadata.ownerReferences",
    ],
  );
});

import assert from "node:assert/strict";
import test from "node:test";
import { schemaOf, TesseraError } from "@tessera/proto";
import { applyJsonPatch } from "./json-patch.ts";
import { applyMergePatch } from "./merge-patch.ts";

test("JSON patch applies its operations in order and leaves the original alone", () => {
  const current = Object.freeze({ a: Object.freeze({ b: 1 }) });
  const patched = applyJsonPatch(current, [
    { op: "test", path: "/a/b", value: 1 },
    { op: "add", path: "/a/c", value: [1] },
    { op: "move", from: "/a/c", path: "/d" },
    { op: "remove", path: "/a/b" },
  ]);
  assert.deepEqual(patched, { a: {}, d: [1] });
  assert.deepEqual(current, { a: { b: 1 } });
});

test("a JSON patch that does not fit is Invalid and names the operation", () => {
  assert.throws(
    () => applyJsonPatch({ a: 1 }, [{ op: "test", path: "/a", value: 2 }]),
    (error) => error instanceof TesseraError && error.reason === "Invalid" && /operation 0/.test(error.message),
  );
  assert.throws(() => applyJsonPatch({}, [{ op: "replace", path: "/a/b", value: 2 }]), TesseraError);
});

test("a JSON patch is a list of a sensible length, and of operations", () => {
  assert.throws(() => applyJsonPatch({}, { op: "add" }), /list of operations/);
  assert.throws(() => applyJsonPatch({}, new Array(10_001).fill({ op: "remove", path: "/a" })), /10000/);
  assert.throws(() => applyJsonPatch({}, [null]), TesseraError);
  assert.throws(() => applyJsonPatch({}, ["x"]), TesseraError);
});

test("a JSON patch cannot reach prototypes", () => {
  assert.throws(() => applyJsonPatch({}, [{ op: "add", path: "/__proto__/polluted", value: true }]), TesseraError);
  assert.equal(({} as { polluted?: boolean }).polluted, undefined);
});

test("merge patch merges objects, replaces lists and removes by null", () => {
  const current = { a: { b: 1, c: 2 }, l: [1, 2], gone: "x" };
  assert.deepEqual(applyMergePatch(current, { a: { c: null, d: 3 }, l: [3], gone: null, new: { x: null, y: 1 } }), {
    a: { b: 1, d: 3 },
    l: [3],
    new: { y: 1 },
  });
  assert.deepEqual(current.a, { b: 1, c: 2 });
});

test("a merge patch is an object, and __proto__ is only a name", () => {
  assert.throws(() => applyMergePatch({}, []), /JSON object/);
  const patched = applyMergePatch({}, JSON.parse('{"__proto__":{"polluted":true}}')) as { polluted?: boolean };
  assert.equal(patched.polluted, undefined);
  assert.equal(({} as { polluted?: boolean }).polluted, undefined);
});

test("schemas that the patches rely on are there", () => {
  assert.notEqual(schemaOf({ group: "", version: "v1", kind: "Pod" }), undefined);
});

import assert from "node:assert/strict";
import test from "node:test";
import type { ConfigMap, Secret } from "@tessera/proto";
import { configMapDefinition } from "./config-map.ts";
import { secretDefinition } from "./secret.ts";

const pathsOf = (faults: readonly { path: string }[]) => faults.map((fault) => fault.path);

test("keys are file names, and each key is in one map only", () => {
  const object: ConfigMap = { data: { "a/b": "x", k: "1" }, binaryData: { k: "AA==" } };
  assert.deepEqual(pathsOf(configMapDefinition.strategy.validate(object)), ["data[a/b]", "binaryData[k]"]);
});

test("more than a mebibyte is too much", () => {
  const [fault] = configMapDefinition.strategy.validate({ data: { a: "x".repeat(1024 * 1024 + 1) } });
  assert.equal(fault?.type, "TooLong");
});

test("immutable data stays as it is, and stays immutable", () => {
  const current: ConfigMap = { data: { a: "1" }, immutable: true };
  assert.deepEqual(pathsOf(configMapDefinition.strategy.validateUpdate({ data: { a: "2" } }, current)), ["immutable", "data"]);
  assert.deepEqual(configMapDefinition.strategy.validateUpdate({ ...current }, current), []);
});

test("stringData becomes data and is not kept", () => {
  const secret: Secret = { data: { a: "eA==", b: "eA==" }, stringData: { a: "new" } };
  secretDefinition.strategy.prepareForCreate(secret);
  assert.deepEqual(secret, { data: { a: Buffer.from("new").toString("base64"), b: "eA==" }, type: "Opaque" });
});

test("a Secret of a known type has the keys of that type", () => {
  assert.deepEqual(pathsOf(secretDefinition.strategy.validate({ type: "kubernetes.io/tls", data: { "tls.crt": "" } })), ["data[tls.key]"]);
  const bad = Buffer.from("no json").toString("base64");
  assert.deepEqual(
    pathsOf(secretDefinition.strategy.validate({ type: "kubernetes.io/dockerconfigjson", data: { ".dockerconfigjson": bad } })),
    ["data[.dockerconfigjson]"],
  );
});

test("a Secret's type is for good", () => {
  assert.deepEqual(pathsOf(secretDefinition.strategy.validateUpdate({ type: "b" }, { type: "a" })), ["type"]);
});

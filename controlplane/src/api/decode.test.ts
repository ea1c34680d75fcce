import assert from "node:assert/strict";
import { Readable } from "node:stream";
import test from "node:test";
import { type ConfigMap, type Pod, TesseraError } from "@tessera/proto";
import { decodeBody, decodeValue, parseBody } from "./decode.ts";

const podKind = { group: "", version: "v1", kind: "Pod" };
const pod = (container: object) => ({ apiVersion: "v1", kind: "Pod", metadata: { name: "p" }, spec: { containers: [container] } });
const misspelt = pod({ name: "a", image: "b", imagePulPolicy: "Always" });

function badRequest(text: RegExp) {
  return (error: unknown) => error instanceof TesseraError && error.reason === "BadRequest" && text.test(error.message);
}

test("Strict refuses an unknown field with its path and what was meant", () => {
  assert.throws(
    () => decodeValue(misspelt, podKind, "Strict"),
    badRequest(/strict decoding error: spec\.containers\[0\]\.imagePulPolicy: unknown field, did you mean imagePullPolicy\?/),
  );
});

test("Warn drops an unknown field and says so, Ignore only drops it", () => {
  const warned = decodeValue<Pod>(misspelt, podKind, "Warn");
  assert.deepEqual(Object.keys(warned.object.spec?.containers?.[0] ?? {}).includes("imagePulPolicy"), false);
  assert.match(warned.warnings.join(), /imagePulPolicy: unknown field/);
  assert.deepEqual(decodeValue(misspelt, podKind, "Ignore").warnings, []);
});

test("a wrong type is refused whatever the validation", () => {
  assert.throws(() => decodeValue(pod({ name: "a", command: "sh" }), podKind, "Ignore"), badRequest(/command: must be a list/));
});

test("faults of values wait for those of validation, in Kubernetes' words", () => {
  const { faults } = decodeValue({ ...pod({ name: "a" }), spec: { restartPolicy: "Alway" } }, podKind, "Strict");
  assert.deepEqual(faults.map((fault) => `${fault.path}: ${fault.message}`).sort(), [
    "spec.containers: Required value",
    'spec.restartPolicy: Unsupported value: "Alway" is not one of "Always", "OnFailure", "Never", did you mean "Always"?',
  ]);
});

test("the object is of the kind that the URL says", () => {
  assert.throws(() => decodeValue({ apiVersion: "v1", kind: "Node" }, podKind, "Strict"), badRequest(/the kind in the data \(Node\)/));
  assert.throws(() => decodeValue({ apiVersion: "v2", kind: "Pod" }, podKind, "Strict"), badRequest(/the API version in the data \(v2\)/));
  for (const value of [null, [], "x", 1]) assert.throws(() => decodeValue(value, podKind, "Strict"), badRequest(/expected a Pod/));
});

test("YAML faults say the line", () => {
  const body = Buffer.from("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: a\n  lables:\n    a: b\n");
  const { value, locate } = parseBody(body, "application/yaml", podKind);
  assert.throws(
    () => decodeValue<ConfigMap>(value, { ...podKind, kind: "ConfigMap" }, "Strict", { locate }),
    badRequest(/metadata\.lables: .*labels\? \(line 5\)/),
  );
  assert.throws(() => parseBody(Buffer.from("a: b: c"), "application/yaml", podKind), badRequest(/line 1/));
});

test("a field that is there twice is refused, told, or the last is taken, as the validation says", async () => {
  const texts = {
    "application/json": '{"metadata": {"name": "a"}, "data": {"k": "1", "k": "2"}}',
    "application/yaml": "metadata:\n  name: a\ndata:\n  k: '1'\n  k: '2'\n",
  };
  const configMap = { ...podKind, kind: "ConfigMap" };
  for (const [type, text] of Object.entries(texts)) {
    const decode = (fieldValidation: string) =>
      decodeBody<ConfigMap>(
        {
          method: "POST",
          path: "/",
          query: new URLSearchParams({ fieldValidation }),
          headers: { "content-type": type },
          body: Readable.from([Buffer.from(text)]),
          credentials: {},
          remoteAddress: "",
          signal: new AbortController().signal,
        },
        configMap,
      );
    const place = type === "application/yaml" ? " (line 5)" : "";
    await assert.rejects(decode("Strict"), (error) => {
      assert.ok(error instanceof TesseraError);
      assert.equal(
        error.message,
        `ConfigMap in version "v1" cannot be handled as a ConfigMap: strict decoding error: data.k: duplicate field${place}`,
      );
      assert.deepEqual(error.causes, [{ reason: "FieldValueDuplicate", field: "data.k", message: "duplicate field" }]);
      return true;
    });
    assert.deepEqual((await decode("Warn")).warnings, [`data.k: duplicate field${place}`]);
    const ignored = await decode("Ignore");
    assert.deepEqual([ignored.object.data, ignored.warnings], [{ k: "2" }, []]);
  }
});

test("one body holds one object", () => {
  assert.throws(() => parseBody(Buffer.from("a: 1\n---\nb: 2\n"), "application/yaml", podKind), badRequest(/2 YAML documents/));
});

test("text that is not what its type says is refused", () => {
  assert.throws(() => parseBody(Buffer.from("{"), "application/json", podKind), badRequest(/not JSON/));
  assert.throws(
    () => parseBody(Buffer.from("{}"), "text/html", podKind),
    (error) => error instanceof TesseraError && error.reason === "UnsupportedMediaType",
  );
});

import assert from "node:assert/strict";
import test from "node:test";
import { TesseraError } from "@tessera/proto";
import { definitions } from "./definitions.ts";
import { FieldSelector } from "./field-selector.ts";

const pod = { metadata: { name: "web", namespace: "shop" }, spec: { nodeName: "node-1" }, status: { phase: "Running" } };

const cases: [selector: string, matches: boolean][] = [
  ["", true],
  ["metadata.name=web", true],
  ["metadata.name==web,metadata.namespace=shop", true],
  ["spec.nodeName!=node-2", true],
  ["spec.nodeName!=node-1", false],
  ["status.phase=Running,spec.nodeName=node-2", false],
  ["spec.nodeName=", false],
  ["status.podIP=", true],
];

for (const [selector, matches] of cases) {
  test(`"${selector}" ${matches ? "matches" : "does not match"}`, () => {
    assert.equal(FieldSelector.parse(selector, definitions.pods).matches(pod), matches);
  });
}

test("a selector by name tells the name, so that no list has to be walked", () => {
  assert.equal(FieldSelector.parse("status.phase=Running,metadata.name=web", definitions.pods).name, "web");
  assert.equal(FieldSelector.parse("metadata.name!=web", definitions.pods).name, undefined);
});

test("escaped commas and equal signs belong to the value", () => {
  const event = { involvedObject: { fieldPath: "a,b=c" } };
  assert.equal(FieldSelector.parse("involvedObject.fieldPath=a\\,b\\=c", definitions.events).matches(event), true);
});

test("a field that cannot be selected by is refused with those that can", () => {
  assert.throws(
    () => FieldSelector.parse("spec.image=x", definitions.pods),
    (error) => error instanceof TesseraError && error.reason === "BadRequest" && /"spec.image".*spec\.nodeName/.test(error.message),
  );
  assert.throws(() => FieldSelector.parse("metadata.namespace=x", definitions.nodes), /not supported/);
});

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

/** For each kind an object, and what selects it of each of its fields besides name and namespace. */
const selectable: { readonly [resource: string]: { readonly object: object; readonly fields: { readonly [field: string]: string } } } = {
  pods: {
    object: {
      spec: { nodeName: "node-1", restartPolicy: "Never", schedulerName: "mine", serviceAccountName: "robot", hostNetwork: true },
      status: { phase: "Running", podIP: "10.0.0.1", podIPs: [{ ip: "10.0.0.1" }], nominatedNodeName: "node-2" },
    },
    fields: {
      "spec.nodeName": "node-1",
      "spec.restartPolicy": "Never",
      "spec.schedulerName": "mine",
      "spec.serviceAccountName": "robot",
      "spec.hostNetwork": "true",
      "status.phase": "Running",
      "status.podIP": "10.0.0.1",
      "status.podIPs": "10.0.0.1",
      "status.nominatedNodeName": "node-2",
    },
  },
  nodes: { object: { spec: { unschedulable: true } }, fields: { "spec.unschedulable": "true" } },
  namespaces: { object: { status: { phase: "Active" } }, fields: { "status.phase": "Active" } },
  secrets: { object: { type: "Opaque" }, fields: { type: "Opaque" } },
  events: {
    object: {
      involvedObject: {
        kind: "Pod",
        namespace: "shop",
        name: "web",
        uid: "u",
        apiVersion: "v1",
        resourceVersion: "7",
        fieldPath: "spec.containers{web}",
      },
      reason: "Started",
      reportingComponent: "agent",
      source: { component: "agent" },
      type: "Normal",
    },
    fields: {
      "involvedObject.kind": "Pod",
      "involvedObject.namespace": "shop",
      "involvedObject.name": "web",
      "involvedObject.uid": "u",
      "involvedObject.apiVersion": "v1",
      "involvedObject.resourceVersion": "7",
      "involvedObject.fieldPath": "spec.containers{web}",
      reason: "Started",
      reportingComponent: "agent",
      source: "agent",
      type: "Normal",
    },
  },
};

for (const [resource, { object, fields }] of Object.entries(selectable)) {
  test(`${resource} can be selected by ${Object.keys(fields).join(", ")}`, () => {
    const definition = definitions[resource as keyof typeof definitions];
    assert.deepEqual(Object.keys(definition.selectableFields).sort(), Object.keys(fields).sort());
    for (const [field, value] of Object.entries(fields)) {
      const matches = (selector: string, one: object) => FieldSelector.parse(selector, definition).matches(one);
      assert.deepEqual([matches(`${field}=${value}`, object), matches(`${field}!=${value}`, object)], [true, false], field);
      assert.equal(matches(`${field}=${value}`, {}), false, field);
    }
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

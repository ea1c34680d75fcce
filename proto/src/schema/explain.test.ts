import assert from "node:assert/strict";
import { test } from "node:test";
import { schemaOf } from "./catalog.ts";
import { type Explanation, explainField } from "./explain.ts";

function explain(path: string): Explanation {
  const schema = schemaOf({ group: "", version: "v1", kind: "Pod" });
  assert.ok(schema);
  return explainField(schema, path);
}

test("a kind is explained with its fields", () => {
  const pod = explain("");
  assert.equal(pod.type, "Pod");
  assert.match(pod.description, /^One or more containers/);
  assert.deepEqual(
    pod.fields.map(({ path, type }) => `${path} ${type}`),
    ["apiVersion string", "kind string", "metadata ObjectMeta", "spec PodSpec", "status PodStatus"],
  );
});

test("a field is explained with type, default, allowed values and parts", () => {
  const { description, ...policy } = explain("spec.restartPolicy");
  assert.match(description, /restart|started again/);
  assert.deepEqual(policy, {
    path: "spec.restartPolicy",
    type: "string",
    typeDescription: "",
    required: false,
    values: ["Always", "OnFailure", "Never"],
    default: "Always",
    fields: [],
  });
  const containers = explain("spec.containers");
  assert.deepEqual([containers.type, containers.required], ["[]Container", true]);
  assert.match(containers.typeDescription, /^One program of a pod/);
  assert.equal(containers.fields[0]?.path, "spec.containers.name");
  assert.equal(explain("spec.containers.resources.limits").type, "map[string]Quantity");
});

test("a field that does not exist is an error with a suggestion", () => {
  assert.throws(() => explain("spec.containers.imge"), {
    reason: "NotFound",
    message: "Pod.spec.containers has no field imge, did you mean image?",
  });
  assert.throws(() => explain("spec.nodeName.x"), {
    reason: "NotFound",
    message: "Pod.spec.nodeName has no fields, so there is no x in it",
  });
});

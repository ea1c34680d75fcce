import assert from "node:assert/strict";
import { test } from "node:test";
import { schemaOf } from "./catalog.ts";
import { type MergeRule, mergeRules } from "./merge-rules.ts";

/** The rule of a path such as "spec.containers.ports"; lists and maps are stepped through. */
function ruleAt(kind: string, path: string): MergeRule {
  const schema = schemaOf({ group: "", version: "v1", kind });
  assert.ok(schema);
  let rules = mergeRules(schema);
  const steps = path.split(".");
  for (const step of steps.slice(0, -1)) {
    const rule = rules.ruleOf(step);
    assert.ok(rule.how === "object" || rule.how === "list", `${step} of ${path} is a ${rule.how}`);
    rules = rule.rules;
  }
  return rules.ruleOf(steps.at(-1) ?? "");
}

test("each field of a pod merges as in Kubernetes", () => {
  const table: [path: string, how: MergeRule["how"], key?: string, retainKeys?: boolean][] = [
    ["kind", "replace"],
    ["metadata", "object", undefined, false],
    ["metadata.labels", "map"],
    ["metadata.finalizers", "set"],
    ["metadata.ownerReferences", "list", "uid", false],
    ["metadata.managedFields", "replace"],
    ["spec.containers", "list", "name", false],
    ["spec.containers.env", "list", "name", false],
    ["spec.containers.ports", "list", "containerPort", false],
    ["spec.containers.volumeMounts", "list", "mountPath", false],
    ["spec.containers.command", "replace"],
    ["spec.containers.resources.limits", "map"],
    ["spec.volumes", "list", "name", true],
    ["spec.hostAliases", "list", "ip", false],
    ["spec.tolerations", "replace"],
    ["spec.topologySpreadConstraints", "list", "topologyKey", false],
    ["spec.imagePullSecrets", "list", "name", false],
    ["spec.nodeSelector", "map"],
    ["spec.terminationGracePeriodSeconds", "replace"],
    ["status.conditions", "list", "type", false],
    ["status.podIPs", "list", "ip", false],
    ["status.containerStatuses", "replace"],
  ];
  for (const [path, how, key, retainKeys] of table) {
    const rule = ruleAt("Pod", path);
    assert.equal(rule.how, how, path);
    assert.equal("key" in rule ? rule.key : undefined, key, path);
    assert.equal("retainKeys" in rule ? rule.retainKeys : undefined, retainKeys, path);
  }
  assert.equal(ruleAt("ServiceAccount", "secrets").how, "list");
  assert.equal(ruleAt("Node", "spec.podCIDRs").how, "set");
});

test("unknown fields and free objects merge like a JSON merge patch", () => {
  assert.equal(ruleAt("Pod", "spec.unknown").how, "object");
  assert.equal(ruleAt("Pod", "spec.unknown.deeper").how, "object");
});

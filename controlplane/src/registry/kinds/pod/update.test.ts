import assert from "node:assert/strict";
import test from "node:test";
import type { Pod, PodSpec } from "@tessera/proto";
import { validatePodUpdate } from "./update.ts";

const spec: PodSpec = {
  containers: [{ name: "web", image: "web:1" }],
  nodeName: "node-1",
  tolerations: [{ key: "a", operator: "Exists", effect: "NoExecute", tolerationSeconds: 5 }],
  terminationGracePeriodSeconds: 30,
  activeDeadlineSeconds: 100,
};
const current: Pod = { metadata: { name: "p" }, spec };

function pathsOf(change: PodSpec): string[] {
  return validatePodUpdate({ metadata: { name: "p" }, spec: { ...spec, ...change } }, current).map((fault) => fault.path);
}

const allowed: { [sentence: string]: PodSpec } = {
  nothing: {},
  "another image": { containers: [{ name: "web", image: "web:2" }] },
  "a closer deadline": { activeDeadlineSeconds: 50 },
  "a further toleration": { tolerations: [...(spec.tolerations ?? []), { key: "b", operator: "Exists" }] },
  "a toleration for another time": { tolerations: [{ key: "a", operator: "Exists", effect: "NoExecute", tolerationSeconds: 9 }] },
};

for (const [sentence, change] of Object.entries(allowed)) {
  test(`a pod's update may bring ${sentence}`, () => assert.deepEqual(pathsOf(change), []));
}

const refused: { [sentence: string]: [change: PodSpec, ...paths: string[]] } = {
  "another command": [{ containers: [{ name: "web", image: "web:1", command: ["x"] }] }, "spec"],
  "another node": [{ nodeName: "node-2" }, "spec"],
  "another grace": [{ terminationGracePeriodSeconds: 5 }, "spec"],
  "a container more": [{ containers: [...(spec.containers ?? []), { name: "b", image: "b" }] }, "spec.containers", "spec"],
  "a later deadline": [{ activeDeadlineSeconds: 200 }, "spec.activeDeadlineSeconds"],
  "no deadline": [{ activeDeadlineSeconds: undefined }, "spec.activeDeadlineSeconds"],
  "a toleration less": [{ tolerations: [] }, "spec.tolerations"],
};

for (const [sentence, [change, ...paths]] of Object.entries(refused)) {
  test(`a pod's update may not bring ${sentence}`, () => assert.deepEqual(pathsOf(change), paths));
}

test("the refusal names the fields that were changed", () => {
  const [fault] = validatePodUpdate({ metadata: { name: "p" }, spec: { ...spec, nodeName: "node-2", hostname: "x" } }, current);
  assert.match(fault?.message ?? "", /changed: spec\.hostname, spec\.nodeName$/);
});

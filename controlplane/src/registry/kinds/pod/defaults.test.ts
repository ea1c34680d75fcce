import assert from "node:assert/strict";
import test from "node:test";
import type { PodSpec, ResourceRequirements } from "@tessera/proto";
import { defaultPodSpec, qosClass } from "./defaults.ts";

function defaulted(spec: PodSpec): PodSpec {
  defaultPodSpec(spec);
  return spec;
}

const policies: [image: string, policy: string][] = [
  ["web", "Always"],
  ["web:latest", "Always"],
  ["registry:5000/web", "Always"],
  ["web:1.2", "IfNotPresent"],
  ["registry:5000/web:1.2", "IfNotPresent"],
  [`web@sha256:${"0".repeat(64)}`, "IfNotPresent"],
  [`web:latest@sha256:${"0".repeat(64)}`, "IfNotPresent"],
];

for (const [image, policy] of policies) {
  test(`${image} is pulled ${policy}`, () => {
    assert.equal(defaulted({ containers: [{ name: "a", image }] }).containers?.[0]?.imagePullPolicy, policy);
  });
}

test("what is limited and not requested is requested up to the limit", () => {
  const resources = { limits: { cpu: "2", memory: "1Gi" }, requests: { cpu: "1" } };
  assert.deepEqual(defaulted({ containers: [{ resources }] }).containers?.[0]?.resources?.requests, { cpu: "1", memory: "1Gi" });
});

test("pods leave lost nodes after five minutes, unless they say otherwise", () => {
  const own = { key: "node.kubernetes.io/unreachable", operator: "Exists", effect: "NoExecute", tolerationSeconds: 10 };
  const tolerations = defaulted({ tolerations: [own] }).tolerations ?? [];
  assert.deepEqual(
    tolerations.map(({ key, tolerationSeconds }) => [key, tolerationSeconds]),
    [
      ["node.kubernetes.io/unreachable", 10],
      ["node.kubernetes.io/not-ready", 300],
    ],
  );
  assert.equal(defaulted({ tolerations: [{ operator: "Exists" }] }).tolerations?.length, 1);
});

test("what a cluster cannot do without comes before the rest", () => {
  const priorityOf = (spec: PodSpec) => defaulted(spec).priority;
  assert.equal(priorityOf({ priorityClassName: "system-node-critical" }), 2_000_001_000);
  assert.equal(priorityOf({ priorityClassName: "system-cluster-critical" }), 2_000_000_000);
  assert.equal(priorityOf({ priorityClassName: "of-nobody" }), 0);
  assert.equal(priorityOf({ priorityClassName: "system-node-critical", priority: 5 }), 5);
  assert.equal(priorityOf({}), 0);
});

test("defaults of defaults change nothing", () => {
  const once = defaulted({ containers: [{ image: "a", resources: { limits: { cpu: "1" } } }] });
  assert.deepEqual(defaulted(structuredClone(once)), once);
});

test("with the node's network a port is the node's port", () => {
  assert.equal(
    defaulted({ hostNetwork: true, containers: [{ ports: [{ containerPort: 80 }] }] }).containers?.[0]?.ports?.[0]?.hostPort,
    80,
  );
});

const classes: [wanted: string, ...containers: ResourceRequirements[]][] = [
  ["BestEffort", {}],
  ["BestEffort", { requests: { "example.com/gpu": "1" } }],
  ["Burstable", { requests: { cpu: "1" } }],
  ["Burstable", { limits: { cpu: "1", memory: "1Gi" }, requests: { cpu: "1", memory: "1Gi" } }, {}],
  ["Burstable", { limits: { cpu: "1", memory: "1Gi" }, requests: { cpu: "500m", memory: "1Gi" } }],
  ["Guaranteed", { limits: { cpu: "1", memory: "1Gi" }, requests: { cpu: "1000m", memory: "1024Mi" } }],
];

for (const [wanted, ...resources] of classes) {
  test(`${JSON.stringify(resources)} is ${wanted}`, () => {
    assert.equal(qosClass({ spec: { containers: resources.map((each) => ({ resources: each })) } }), wanted);
  });
}

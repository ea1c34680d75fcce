import assert from "node:assert/strict";
import test from "node:test";
import type { Node } from "@tessera/proto";
import { nodeDefinition } from "./node.ts";

function cell(column: string, node: Node) {
  return nodeDefinition.columns.find((each) => each.name === column)?.cell(node, 0);
}

test("a node's row says whether it is ready and takes pods", () => {
  const ready = { conditions: [{ type: "Ready", status: "True" }] };
  assert.equal(cell("Status", { status: ready }), "Ready");
  assert.equal(cell("Status", { status: ready, spec: { unschedulable: true } }), "Ready,SchedulingDisabled");
  assert.equal(cell("Status", { status: { conditions: [{ type: "Ready", status: "Unknown" }] } }), "NotReady");
  assert.equal(cell("Status", {}), "Unknown");
});

test("roles come from labels", () => {
  const labels = { "node-role.kubernetes.io/worker": "", "node-role.kubernetes.io/edge": "", "kubernetes.io/role": "db" };
  assert.equal(cell("Roles", { metadata: { labels } }), "db,edge,worker");
  assert.equal(cell("Roles", {}), "<none>");
});

test("a node's pod addresses may be given once", () => {
  const { validateUpdate } = nodeDefinition.strategy;
  assert.deepEqual(validateUpdate({ spec: { podCIDR: "10.0.0.0/24" } }, {}), []);
  assert.deepEqual(
    validateUpdate({ spec: { podCIDR: "10.0.1.0/24" } }, { spec: { podCIDR: "10.0.0.0/24" } }).map((fault) => fault.path),
    ["spec.podCIDR"],
  );
});

test("taints have keys, effects and no doubles", () => {
  const taints = [
    { key: "a", effect: "NoSchedule" },
    { key: "a", effect: "NoSchedule" },
    { key: "", effect: "Never" },
  ];
  assert.deepEqual(
    nodeDefinition.strategy.validate({ spec: { taints } }).map((fault) => fault.path),
    ["spec.taints[1]", "spec.taints[2].key", "spec.taints[2].effect"],
  );
});

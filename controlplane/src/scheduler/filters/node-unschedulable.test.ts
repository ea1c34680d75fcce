import assert from "node:assert/strict";
import { test } from "node:test";
import { node, pod } from "../../controllers/testing/builders.ts";
import { BenchTable } from "../testing/bench-table.ts";
import { nodeUnschedulable } from "./node-unschedulable.ts";

test("a cordoned node takes only pods that tolerate it", () => {
  const table = new BenchTable([node("open"), node("shut").cordoned()]);
  assert.deepEqual(table.refusals(nodeUnschedulable, pod("a")), { open: undefined, shut: "node(s) were unschedulable" });
  const tolerant = pod("a").tolerates("node.kubernetes.io/unschedulable", { effect: "NoSchedule" });
  assert.deepEqual(table.refusals(nodeUnschedulable, tolerant), { open: undefined, shut: undefined });
});

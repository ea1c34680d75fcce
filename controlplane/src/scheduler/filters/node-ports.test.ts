import assert from "node:assert/strict";
import { test } from "node:test";
import { node, pod } from "../../controllers/testing/builders.ts";
import { BenchTable } from "../testing/bench-table.ts";
import { nodePorts } from "./node-ports.ts";

const taken = ["node(s) didn't have free ports for the requested pod ports"];

test("a host port is held by one pod of a node", () => {
  const table = new BenchTable([node("n"), node("m")]).run(pod("web").hostPort(80), "n");
  assert.deepEqual(table.shortages(nodePorts, pod("p").hostPort(80)), { n: taken, m: [] });
  assert.deepEqual(table.shortages(nodePorts, pod("p").hostPort(81)), { n: [], m: [] });
  assert.deepEqual(table.shortages(nodePorts, pod("p")), { n: [], m: [] });
});

test("every address collides with 0.0.0.0, two addresses do not collide", () => {
  const one = () => new BenchTable([node("n")]).run(pod("web").hostPort(80, "10.0.0.1"), "n");
  assert.deepEqual(one().shortages(nodePorts, pod("p").hostPort(80, "10.0.0.2")), { n: [] });
  assert.deepEqual(one().shortages(nodePorts, pod("p").hostPort(80, "10.0.0.1")), { n: taken });
  assert.deepEqual(one().shortages(nodePorts, pod("p").hostPort(80)), { n: taken });
  const all = new BenchTable([node("n")]).run(pod("web").hostPort(80), "n");
  assert.deepEqual(all.shortages(nodePorts, pod("p").hostPort(80, "10.0.0.2")), { n: taken });
});

test("a port is free again when its pod has gone", () => {
  const table = new BenchTable([node("n")]);
  const web = table.resident(pod("web").hostPort(80));
  const row = table.nodes.take("n", web);
  assert.deepEqual(table.shortages(nodePorts, pod("p").hostPort(80)), { n: taken });
  table.nodes.release(row, web);
  assert.deepEqual(table.shortages(nodePorts, pod("p").hostPort(80)), { n: [] });
});

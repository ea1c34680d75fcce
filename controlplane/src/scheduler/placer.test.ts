import assert from "node:assert/strict";
import { test } from "node:test";
import { node, pod } from "../controllers/testing/builders.ts";
import { BenchTable } from "./testing/bench-table.ts";

test("a refusal counts nodes by their first reason, as Kubernetes words it", () => {
  const table = new BenchTable([node("a").taint("k", "NoSchedule", "v"), node("b").cpu("1"), node("c").cpu("1")]);
  assert.equal(table.place(pod("p").cpu("2")), "0/3 nodes are available: 1 node(s) had untolerated taint {k: v}, 2 Insufficient cpu.");
});

test("a node that lacks several resources is counted for each", () => {
  const table = new BenchTable([node("a").cpu("1").memory("1Gi")]);
  assert.equal(table.place(pod("p").cpu("2").memory("2Gi")), "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient memory.");
});

test("without nodes that is the reason", () => {
  assert.equal(new BenchTable([]).place(pod("p")), "no nodes available to schedule pods");
});

test("equal nodes take turns", () => {
  const table = new BenchTable([node("a"), node("b"), node("c")]);
  assert.deepEqual(new Set([table.place(pod("p")), table.place(pod("p")), table.place(pod("p"))]), new Set(["a", "b", "c"]));
});

test("a kept refusal is dropped when a node improves, and so are kept verdicts", () => {
  const table = new BenchTable([node("a").cordoned()]);
  const asking = pod("p").cpu("1");
  assert.equal(table.place(asking), "0/1 nodes are available: 1 node(s) were unschedulable.");
  table.nodes.setNode(node("a").build());
  assert.equal(table.place(asking), "a");
  table.nodes.setNode(node("a").taint("x", "NoSchedule").build());
  assert.equal(table.place(asking), "0/1 nodes are available: 1 node(s) had untolerated taint {x: }.");
  table.nodes.removeNode("a");
  assert.equal(table.place(asking), "no nodes available to schedule pods");
});

test("the row of a node that went is used anew without a trace of the old one", () => {
  const table = new BenchTable([node("a").label("disk", "ssd").cpu("2"), node("b")]);
  const row = table.nodes.take("a", table.shape(pod("x").cpu("2")));
  table.nodes.removeNode("a");
  assert.equal(table.nodes.row("a")?.present, false, "still counted while its pod is there");
  table.nodes.release(row, table.shape(pod("x").cpu("2")));
  assert.equal(table.nodes.row("a"), undefined);
  table.nodes.setNode(node("c").cpu("8").build());
  assert.equal(table.nodes.row("c")?.index, row.index);
  assert.equal(table.place(pod("p").cpu("8")), "c");
  assert.equal(
    table.place(pod("p").selects("disk", "ssd")),
    "0/2 nodes are available: 2 node(s) didn't match Pod's node affinity/selector.",
  );
});

test("pods of one template share a shape for as long as any of them is known", () => {
  const table = new BenchTable([]);
  const first = table.shape(pod("a").cpu("1"));
  assert.equal(table.shape(pod("b").cpu("1000m")), first);
  assert.notEqual(table.shape(pod("c").cpu("2")), first);
  assert.equal(table.shapes.size, 2);
  table.shapes.release(first);
  table.shapes.release(first);
  assert.equal(table.shapes.size, 1);
});

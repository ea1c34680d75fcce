import assert from "node:assert/strict";
import { test } from "node:test";
import { node, pod } from "../../controllers/testing/builders.ts";
import { BenchTable } from "../testing/bench-table.ts";
import { nodeResourcesFit } from "./node-resources-fit.ts";

test("what pods take is not free", () => {
  const table = new BenchTable([node("n").cpu("1").memory("1Gi")]).run(pod("a").cpu("600m").memory("512Mi"), "n");
  assert.deepEqual(table.shortages(nodeResourcesFit, pod("p").cpu("400m").memory("512Mi")), { n: [] });
  assert.deepEqual(table.shortages(nodeResourcesFit, pod("p").cpu("401m")), { n: ["Insufficient cpu"] });
  assert.deepEqual(table.shortages(nodeResourcesFit, pod("p").cpu("2").memory("1Gi")), { n: ["Insufficient cpu", "Insufficient memory"] });
});

test("pods that request nothing fit on a full node until it has too many", () => {
  const table = new BenchTable([node("n").cpu("1").has("pods", "2")]).run(pod("a").cpu("1"), "n");
  assert.deepEqual(table.shortages(nodeResourcesFit, pod("p")), { n: [] });
  table.run(pod("b"), "n");
  assert.deepEqual(table.shortages(nodeResourcesFit, pod("p")), { n: ["Too many pods"] });
});

test("ephemeral storage and extended resources count, a node without them has none", () => {
  const table = new BenchTable([node("plain"), node("gpu").has("example.com/gpu", "1").has("ephemeral-storage", "1Gi")]);
  assert.deepEqual(table.shortages(nodeResourcesFit, pod("p").requests("example.com/gpu", "1")), {
    plain: ["Insufficient example.com/gpu"],
    gpu: [],
  });
  assert.deepEqual(table.shortages(nodeResourcesFit, pod("p").requests("ephemeral-storage", "2Gi")), {
    plain: ["Insufficient ephemeral-storage"],
    gpu: ["Insufficient ephemeral-storage"],
  });
});

test("huge pages count by their size", () => {
  const table = new BenchTable([node("none").has("hugepages-2Mi", "0"), node("some").has("hugepages-2Mi", "16Mi")]);
  table.run(pod("a").requests("hugepages-2Mi", "4Mi"), "some");
  assert.deepEqual(table.shortages(nodeResourcesFit, pod("p").requests("hugepages-2Mi", "12Mi")), {
    none: ["Insufficient hugepages-2Mi"],
    some: [],
  });
  assert.deepEqual(table.shortages(nodeResourcesFit, pod("p").requests("hugepages-2Mi", "14Mi")).some, ["Insufficient hugepages-2Mi"]);
  assert.deepEqual(table.shortages(nodeResourcesFit, pod("p").requests("hugepages-1Gi", "1Gi")).some, ["Insufficient hugepages-1Gi"]);
});

test("a node that shrank below its pods takes no more", () => {
  const table = new BenchTable([node("n").cpu("2")]).run(pod("a").cpu("2"), "n");
  table.nodes.setNode(node("n").cpu("1").build());
  assert.deepEqual(table.shortages(nodeResourcesFit, pod("p").cpu("1m")), { n: ["Insufficient cpu"] });
  table.nodes.setNode(node("n").cpu("3").build());
  assert.deepEqual(table.shortages(nodeResourcesFit, pod("p").cpu("1")), { n: [] });
});

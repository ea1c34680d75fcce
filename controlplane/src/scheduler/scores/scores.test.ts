import assert from "node:assert/strict";
import { test } from "node:test";
import { node, pod } from "../../controllers/testing/builders.ts";
import { BenchTable } from "../testing/bench-table.ts";
import { balancedAllocation } from "./balanced-allocation.ts";
import { leastAllocated } from "./least-allocated.ts";

test("LeastAllocated gives the mean share of cpu and memory that would be left", () => {
  const table = new BenchTable([node("half").cpu("4").memory("4Gi"), node("empty").cpu("4").memory("4Gi")]).run(
    pod("a").cpu("2").memory("2Gi"),
    "half",
  );
  assert.deepEqual(table.scores(leastAllocated, pod("p").cpu("1").memory("1Gi")), { half: 25, empty: 75 });
});

test("LeastAllocated counts pods that request nothing for a little, so that they spread", () => {
  const table = new BenchTable([node("busy"), node("empty")]).run(pod("a"), "busy");
  const { busy = 0, empty = 0 } = table.scores(leastAllocated, pod("p"));
  assert.ok(empty > busy, `${empty} > ${busy}`);
});

test("BalancedAllocation prefers even use of cpu and memory", () => {
  const table = new BenchTable([node("n").cpu("4").memory("4Gi"), node("m").cpu("4").memory("8Gi")]);
  assert.deepEqual(table.scores(balancedAllocation, pod("p").cpu("2").memory("2Gi")), { n: 100, m: 87.5 });
});

test("BalancedAllocation says nothing of pods that request neither", () => {
  const table = new BenchTable([node("n")]);
  assert.deepEqual(table.scores(balancedAllocation, pod("p")), { n: 0 });
});

test("preferred node affinity outweighs a little more room", () => {
  const table = new BenchTable([node("roomy").cpu("8"), node("near").label("zone", "a")]);
  assert.equal(table.place(pod("p").cpu("1")), "roomy");
  assert.equal(
    table.place(
      pod("p")
        .cpu("1")
        .prefers(10, { key: "zone", operator: "In", values: ["a"] }),
    ),
    "near",
  );
});

test("a taint of effect PreferNoSchedule is avoided while another node has room", () => {
  const table = new BenchTable([node("tainted").cpu("64").taint("old", "PreferNoSchedule"), node("plain").cpu("1")]);
  assert.equal(table.place(pod("p").cpu("1")), "plain");
  assert.equal(table.place(pod("p").cpu("1").tolerates("old")), "tainted");
  table.run(pod("a").cpu("1"), "plain");
  assert.equal(table.place(pod("p").cpu("1")), "tainted");
});

import assert from "node:assert/strict";
import { randomInt } from "node:crypto";
import { test } from "node:test";
import { node, pod } from "../controllers/testing/builders.ts";
import type { NodeRow, Resident } from "./node-table.ts";
import { BenchTable } from "./testing/bench-table.ts";
import { randomNumbers } from "./testing/random-numbers.ts";

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
  const resident = table.resident(pod("x").cpu("2"));
  const row = table.nodes.take("a", resident);
  table.nodes.removeNode("a");
  assert.equal(table.nodes.row("a")?.present, false, "still counted while its pod is there");
  table.nodes.release(row, resident);
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

const overHosts = (matchLabels: Record<string, string>) => ({ topologyKey: "kubernetes.io/hostname", labelSelector: { matchLabels } });
const overZones = (matchLabels: Record<string, string>) => ({ topologyKey: "zone", labelSelector: { matchLabels } });

/** Set it to the printed seed to see a failure again. */
const seed = Number(process.env["TESSERA_SEED"] ?? randomInt(2 ** 31));

test(`what is kept of earlier placements never changes an answer (seed ${seed})`, () => {
  const random = randomNumbers(seed);
  const nodeNames = Array.from({ length: 40 }, (_, i) => `n${i}`);
  // Sizes of which no two give the same score, so that turns among equals play no part.
  const aNode = (name: string) =>
    node(name)
      .label("zone", `z${random(3)}`)
      .cpu(`${4000 + random(1_000_003)}m`)
      .memory(`${8e9 + random(1e9 + 7)}`);
  const table = new BenchTable(nodeNames.slice(0, 20).map(aNode));
  const asking = [
    pod("small").cpu("100m").memory("100M"),
    pod("large").cpu("3").memory("5G"),
    pod("picky").cpu("1").selects("disk", "ssd"),
    pod("tolerant").cpu("1").tolerates("t"),
    pod("preferring").cpu("1").prefers(5, { key: "disk", operator: "Exists" }),
    pod("web").hostPort(80),
    pod("apart")
      .cpu("100m")
      .label("app", "apart")
      .awayFrom(overHosts({ app: "apart" })),
    pod("near")
      .cpu("100m")
      .near(overZones({ app: "apart" }))
      .prefers(5, { key: "disk", operator: "Exists" }),
    pod("repelled").cpu("100m").label("app", "apart"),
    pod("fond")
      .cpu("100m")
      .label("app", "even")
      .prefersNear(10, overZones({ app: "apart" })),
    pod("even")
      .cpu("100m")
      .label("app", "even")
      .spreads({ ...overZones({ app: "even" }), maxSkew: 1, whenUnsatisfiable: "DoNotSchedule" })
      .spreads({ ...overHosts({ app: "even" }), maxSkew: 1, whenUnsatisfiable: "ScheduleAnyway" }),
  ];
  const placed: { row: NodeRow; resident: Resident }[] = [];
  for (let step = 0; step < 3_000; step++) {
    const name = nodeNames[random(nodeNames.length)] ?? "";
    const choice = random(20);
    if (choice === 0) table.nodes.removeNode(name);
    else if (choice === 1) table.nodes.setNode(aNode(name).build());
    else if (choice === 2) table.nodes.setNode(aNode(name).label("disk", "ssd").build());
    else if (choice === 3)
      table.nodes.setNode(
        aNode(name)
          .taint("t", random(2) ? "NoSchedule" : "PreferNoSchedule")
          .build(),
      );
    else if (choice < 10 && placed.length > 0) {
      const [victim] = placed.splice(random(placed.length), 1);
      if (victim) table.nodes.release(victim.row, victim.resident);
    } else {
      const wanted = asking[random(asking.length)] ?? pod("x");
      const answer = table.place(wanted);
      assert.equal(answer, table.placeAfresh(wanted), `step ${step} of seed ${seed}`);
      const resident = table.resident(wanted);
      if (table.nodes.row(answer)) placed.push({ row: table.nodes.take(answer, resident), resident });
    }
  }
  assert.ok(placed.length > 0);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import type { Node, Taint, Toleration } from "@tessera/proto";
import { evictionTime, taintEviction } from "./taint-eviction.ts";
import { type NodeBuilder, node, pod } from "./testing/builders.ts";
import { eventually } from "./testing/fakes.ts";
import type { MemoryRegistry } from "./testing/memory-registry.ts";
import { prepareLoop } from "./testing/run-loop.ts";

const taint = (key: string): Taint => ({ key, effect: "NoExecute" });
const for_ = (key: string, tolerationSeconds?: number): Toleration => ({ key, operator: "Exists", effect: "NoExecute", tolerationSeconds });

const cases: { says: string; tolerations: Toleration[]; taints: [string, number][]; at: number | undefined }[] = [
  { says: "no taint: never", tolerations: [], taints: [], at: undefined },
  { says: "no toleration: at once", tolerations: [], taints: [["a", 1000]], at: 0 },
  { says: "a toleration without an end: never", tolerations: [for_("a")], taints: [["a", 1000]], at: undefined },
  { says: "a toleration with an end: then", tolerations: [for_("a", 30)], taints: [["a", 1000]], at: 31_000 },
  { says: "the shortest of several", tolerations: [for_("a", 30), for_("a", 10), for_("a")], taints: [["a", 1000]], at: 11_000 },
  {
    says: "the earliest of several taints",
    tolerations: [for_("a", 30), for_("b", 5)],
    taints: [
      ["a", 1000],
      ["b", 20_000],
    ],
    at: 25_000,
  },
  {
    says: "one of two taints not tolerated: at once",
    tolerations: [for_("a", 30)],
    taints: [
      ["a", 1000],
      ["b", 1000],
    ],
    at: 0,
  },
  { says: "a negative time counts as none", tolerations: [for_("a", -5)], taints: [["a", 1000]], at: 1000 },
];
for (const { says, tolerations, taints, at } of cases) {
  test(`eviction time, ${says}`, () => {
    assert.equal(
      evictionTime(
        tolerations,
        taints.map(([key, sinceMs]) => ({ taint: taint(key), sinceMs })),
      ),
      at,
    );
  });
}

const withReady =
  (ready: "True" | "Unknown") =>
  (n: Node): Node => ({ ...n, status: { ...n.status, conditions: [{ type: "Ready", status: ready }] } });
const create = (registry: MemoryRegistry, builder: NodeBuilder, ready: "True" | "Unknown" = "True") =>
  registry.nodes.create(withReady(ready)(builder.build()));
const isLeaving = (registry: MemoryRegistry, name: string) =>
  registry.pods.cache.get("default", name)?.value.metadata?.deletionTimestamp !== undefined;
const unreachable = (timeAdded: string): Taint => ({ key: "node.kubernetes.io/unreachable", effect: "NoExecute", timeAdded });
const tolerating = (name: string, seconds: number) =>
  pod(name).tolerates("node.kubernetes.io/unreachable", { effect: "NoExecute", tolerationSeconds: seconds });

test("a pod on a lost node is marked after the time that it tolerates, its object stays", async (t) => {
  const { registry, clock, events, start } = prepareLoop(t, taintEviction);
  await create(registry, node("lost"));
  await create(registry, node("other"));
  await registry.pods.create(tolerating("a", 300).on("lost").build());
  await registry.pods.create(tolerating("b", 300).on("other").build());
  start();
  const timeAdded = new Date(clock.now()).toISOString();
  await registry.nodes.mutate("", "lost", (n) => ({ ...withReady("Unknown")(n), spec: { taints: [unreachable(timeAdded)] } }));
  await eventually("the time runs", () => clock.pending[0] === 300_000);
  clock.advance(299_999);
  await new Promise(setImmediate);
  assert.equal(isLeaving(registry, "a"), false);
  clock.advance(1);
  await eventually("a is marked", () => isLeaving(registry, "a"));
  assert.equal(registry.pods.cache.size, 2);
  assert.equal(isLeaving(registry, "b"), false);
  const condition = registry.pods.cache.get("default", "a")?.value.status?.conditions?.[0];
  assert.deepEqual([condition?.type, condition?.reason], ["DisruptionTarget", "DeletionByTaintManager"]);
  await eventually("an event says so", () => events.messages("TaintManagerEviction").length === 1);
});

test("a node that is back in time keeps its pods", async (t) => {
  const { registry, clock, start } = prepareLoop(t, taintEviction);
  await create(registry, node("lost"));
  await create(registry, node("other"));
  await registry.pods.create(tolerating("a", 300).on("lost").build());
  start();
  await registry.nodes.mutate("", "lost", (n) => ({ ...n, spec: { taints: [unreachable(new Date(clock.now()).toISOString())] } }));
  await eventually("the time runs", () => clock.pending[0] === 300_000);
  await registry.nodes.mutate("", "lost", (n) => ({ ...n, spec: {} }));
  clock.advance(300_000);
  await new Promise(setImmediate);
  assert.equal(isLeaving(registry, "a"), false);
});

test("a taint that somebody sets by hand sends away at once who does not tolerate it", async (t) => {
  const { registry, start } = prepareLoop(t, taintEviction);
  await create(registry, node("n"));
  await registry.pods.create(pod("plain").on("n").build());
  await registry.pods.create(pod("tolerant").tolerates("maintenance").on("n").build());
  await registry.pods.create(
    pod("ended")
      .on("n")
      .with((p) => (p.status = { phase: "Succeeded" }))
      .build(),
  );
  start();
  await registry.nodes.mutate("", "n", (n) => ({ ...n, spec: { taints: [taint("maintenance")] } }));
  await eventually("plain is marked", () => isLeaving(registry, "plain"));
  assert.equal(isLeaving(registry, "tolerant"), false);
  assert.equal(isLeaving(registry, "ended"), false);
});

test("a taint without a time counts from when it was seen, and anew when it comes back", async (t) => {
  const { registry, clock, start } = prepareLoop(t, taintEviction);
  await create(registry, node("n"));
  await registry.pods.create(pod("a").tolerates("x", { effect: "NoExecute", tolerationSeconds: 60 }).on("n").build());
  start();
  const setTaints = (taints: Taint[]) => registry.nodes.mutate("", "n", (n) => ({ ...n, spec: { taints } }));
  await setTaints([taint("x")]);
  await eventually("the time runs", () => clock.pending[0] === 60_000);
  clock.advance(50_000);
  await setTaints([]);
  clock.advance(50_000);
  await setTaints([taint("x")]);
  await eventually("it runs from the start", () => clock.pending[0] === 60_000);
  assert.equal(isLeaving(registry, "a"), false);
});

test("when no node is ready nobody is sent away, and afterwards the time runs anew", async (t) => {
  const { registry, clock, start } = prepareLoop(t, taintEviction);
  const long = { taints: [unreachable("2020-01-01T00:00:00Z")] };
  for (const name of ["n1", "n2"]) {
    await create(registry, node(name), "Unknown");
    await registry.nodes.mutate("", name, (n) => ({ ...n, spec: long }));
  }
  await registry.pods.create(tolerating("a", 300).on("n1").build());
  await registry.pods.create(tolerating("b", 300).on("n2").build());
  start();
  clock.advance(3_600_000);
  await new Promise(setImmediate);
  assert.equal(isLeaving(registry, "a"), false);
  await registry.nodes.mutate("", "n1", (n) => ({ ...withReady("True")(n), spec: {} }));
  await eventually("the time runs for b", () => clock.pending[0] === 300_000);
  clock.advance(300_000);
  await eventually("b is marked", () => isLeaving(registry, "b"));
  assert.equal(isLeaving(registry, "a"), false);
});

test("after a restart agents get the time to come back", async (t) => {
  const { registry, clock, start } = prepareLoop(t, taintEviction);
  await create(registry, node("lost"), "Unknown");
  await create(registry, node("other"));
  await registry.nodes.mutate("", "lost", (n) => ({ ...n, spec: { taints: [unreachable("2020-01-01T00:00:00Z")] } }));
  await registry.pods.create(tolerating("a", 300).on("lost").build());
  start();
  await eventually("the time runs", () => clock.pending[0] === 300_000);
  assert.equal(isLeaving(registry, "a"), false);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { lostPods, unboundPods } from "./pod-garbage.ts";
import { node, pod } from "./testing/builders.ts";
import { eventually } from "./testing/fakes.ts";
import { prepareLoop } from "./testing/run-loop.ts";

test("pods of a deleted node are failed and removed after the grace, others stay", async (t) => {
  const { registry, clock, events, start } = prepareLoop(t, lostPods);
  await registry.nodes.create(node("gone").build());
  await registry.nodes.create(node("stays").build());
  await registry.pods.create(pod("a").on("gone").build());
  await registry.pods.create(pod("b").on("stays").build());
  await registry.pods.create(pod("c").build());
  const lastStates: (string | undefined)[] = [];
  registry.pods.cache.onChange(({ type, previous }) => {
    if (type === "DELETED") lastStates.push(previous?.value.status?.phase);
  });
  start();
  await registry.nodes.remove("", "gone");
  await eventually("the grace runs", () => clock.pending[0] === 40_000);
  clock.advance(39_999);
  await new Promise(setImmediate);
  assert.equal(registry.pods.cache.size, 3);
  clock.advance(1);
  await eventually("a is gone", () => registry.pods.cache.size === 2);
  assert.deepEqual(lastStates, ["Failed"]);
  assert.deepEqual(events.messages("NodeGone"), ["Node gone no longer exists, so the pod is removed"]);
});

test("pods of a node that registers again within the grace go on", async (t) => {
  const { registry, clock, start } = prepareLoop(t, lostPods);
  await registry.nodes.create(node("n").build());
  await registry.pods.create(pod("a").on("n").build());
  start();
  await registry.nodes.remove("", "n");
  await eventually("the grace runs", () => clock.pending[0] === 40_000);
  await registry.nodes.create(node("n").build());
  await eventually("the grace ends", () => clock.pending.length === 0);
  clock.advance(100_000);
  await registry.nodes.remove("", "n");
  await eventually("a later deletion has its own grace", () => clock.pending[0] === 40_000);
  assert.equal(registry.pods.cache.size, 1);
});

test("pods whose node went while nobody looked are found at the start", async (t) => {
  const { registry, clock, start } = prepareLoop(t, lostPods);
  await registry.pods.create(pod("a").on("never-was").build());
  start();
  await eventually("the grace runs", () => clock.pending[0] === 40_000);
  clock.advance(40_000);
  await eventually("a is gone", () => registry.pods.cache.size === 0);
});

test("a pod that is being deleted and has no node is removed, one with a node is its agent's", async (t) => {
  const { registry, start } = prepareLoop(t, unboundPods);
  start();
  const deletionTimestamp = "2030-01-01T00:00:00Z";
  const leaving = (name: string) =>
    pod(name).with((p) => (p.metadata = { ...p.metadata, deletionTimestamp, deletionGracePeriodSeconds: 30 }));
  await registry.pods.create(leaving("bound").on("n").build());
  await registry.pods.create(pod("waiting").build());
  await registry.pods.create(leaving("orphan").build());
  await eventually("the orphan is gone", () => registry.pods.cache.get("default", "orphan") === undefined);
  assert.equal(registry.pods.cache.size, 2);
});

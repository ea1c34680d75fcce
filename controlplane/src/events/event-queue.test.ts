import assert from "node:assert/strict";
import { test } from "node:test";
import { EventQueue, KnownEvents } from "./event-queue.ts";
import type { EventRecord } from "./events.ts";

const happened = (name: string, timeMs = 1_000): EventRecord => ({
  involved: { kind: "Pod", apiVersion: "v1", namespace: "default", name, uid: name },
  type: "Normal",
  reason: "Started",
  message: "started",
  source: { component: "tessera-agent" },
  timeMs,
});

test("what happens again while it waits is counted, with the latest time", () => {
  const queue = new EventQueue(10);
  for (const timeMs of [1_000, 3_000, 2_000]) queue.push(happened("a", timeMs));
  const [a, ...others] = queue.take(10);
  assert.deepEqual([a?.count, a?.record.timeMs, a?.lastTimeMs, others.length], [3, 1_000, 3_000, 0]);
});

test("events are taken in the order of their first occurrence, and not folded into any more", () => {
  const queue = new EventQueue(10);
  for (const name of ["a", "b", "a", "c"]) queue.push(happened(name));
  const taken = queue.take(2);
  queue.push(happened("a"));
  assert.deepEqual(
    taken.map((o) => `${o.record.involved.name} ${o.count}`),
    ["a 2", "b 1"],
  );
  assert.deepEqual(
    queue.take(10).map((o) => `${o.record.involved.name} ${o.count}`),
    ["c 1", "a 1"],
  );
});

test("a full queue drops new things, still counts those that wait, and says how many it dropped", () => {
  const queue = new EventQueue(2);
  const kept = ["a", "b", "c", "a", "d"].map((name) => queue.push(happened(name)));
  assert.deepEqual(kept, [true, true, false, true, false]);
  assert.deepEqual(
    queue.take(10).map((o) => `${o.record.involved.name} ${o.count}`),
    ["a 2", "b 1"],
  );
  assert.deepEqual([queue.takeDropped(), queue.takeDropped()], [2, 0]);
});

test("waiting ends with the next event, or with the abort", async () => {
  const queue = new EventQueue(2);
  const stop = new AbortController();
  const first = queue.wait(stop.signal);
  queue.push(happened("a"));
  await first;
  queue.take(1);
  const second = queue.wait(stop.signal);
  stop.abort();
  await second;
});

test("the events least recently stored are forgotten first", () => {
  const known = new KnownEvents(2);
  for (const subject of ["a", "b", "a", "c"]) known.set(subject, { event: {}, isDeleted: false, sequence: 1 });
  assert.deepEqual(
    ["a", "b", "c"].map((subject) => known.get(subject) !== undefined),
    [true, false, true],
  );
});

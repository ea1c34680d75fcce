import assert from "node:assert/strict";
import { test } from "node:test";
import { pod } from "../controllers/testing/builders.ts";
import { ManualClock } from "../controllers/testing/fakes.ts";
import type { PodShape } from "./pod-shape.ts";
import { type PendingPod, SchedulingQueue } from "./queue.ts";
import { BenchTable } from "./testing/bench-table.ts";

function setup() {
  const clock = new ManualClock();
  let ready = 0;
  const queue = new SchedulingQueue({ clock, onReady: () => ready++ });
  const table = new BenchTable([]);
  const small = table.shape(pod("s").cpu("1"));
  const large = table.shape(pod("l").cpu("2"));
  const selectable = table.nodes.peers.acquirePod("default");
  const pending = (uid: string, priority = 0, shape: PodShape = small): PendingPod => ({
    uid,
    namespace: "default",
    name: uid,
    priority,
    shape,
    selectable,
  });
  const takeAll = () => {
    const uids: string[] = [];
    for (let taken = queue.take(); taken; taken = queue.take()) uids.push(taken.uid);
    return uids;
  };
  return { clock, queue, small, large, pending, takeAll, readyCount: () => ready };
}

test("the highest priority first, then first come, first served", () => {
  const { queue, pending, takeAll } = setup();
  for (const [uid, priority] of Object.entries({ a: 0, b: 10, c: 0, d: 10, e: -5, f: 100 })) queue.put(pending(uid, priority));
  assert.deepEqual(takeAll(), ["f", "b", "d", "a", "c", "e"]);
});

test("a pod that fits nowhere waits, without a timer, until its shape is woken", () => {
  const { clock, queue, small, large, pending, takeAll } = setup();
  for (const entry of [pending("a"), pending("b", 0, large), pending("c")]) queue.put(entry);
  for (let taken = queue.take(); taken; taken = queue.take()) queue.wait(taken);
  assert.equal(queue.waitingCount, 3);
  assert.deepEqual(clock.pending, []);
  assert.deepEqual(takeAll(), []);
  queue.wake(large);
  assert.deepEqual(takeAll(), ["b"]);
  queue.wake(small);
  assert.deepEqual(takeAll(), ["a", "c"]);
  assert.deepEqual([...queue.waitingShapes], []);
});

test("a failed binding is tried again after a while that doubles and is bounded", () => {
  const { clock, queue, pending, readyCount } = setup();
  queue.put(pending("a"));
  const delays: (number | undefined)[] = [];
  for (let i = 0; i < 9; i++) {
    const taken = queue.take();
    assert.equal(taken?.uid, "a");
    if (taken) queue.retry(taken);
    assert.equal(queue.take(), undefined);
    delays.push(clock.pending[0]);
    clock.advance(clock.pending[0] ?? 0);
  }
  assert.deepEqual(delays, [100, 200, 400, 800, 1600, 3200, 6400, 10_000, 10_000]);
  assert.equal(readyCount(), 9);
});

test("removed pods do not come back, from wherever they are removed", () => {
  const { clock, queue, small, pending, takeAll } = setup();
  for (const uid of ["ready", "waiting", "delayed", "taken"]) queue.put(pending(uid));
  const taken = new Map(["ready", "waiting", "delayed", "taken"].map((uid) => [uid, queue.take()] as const));
  for (const [uid, entry] of taken) {
    if (!entry) continue;
    if (uid === "waiting") queue.wait(entry);
    if (uid === "delayed") queue.retry(entry);
  }
  queue.put(pending("later"));
  for (const uid of ["ready", "waiting", "delayed", "taken", "later"]) queue.remove(uid);
  const late = taken.get("taken");
  if (late) queue.wait(late);
  queue.wake(small);
  assert.deepEqual(clock.pending, []);
  assert.deepEqual(takeAll(), []);
  assert.equal(queue.size, 0);
});

test("a waiting pod whose shape changes is ready at once, in its old turn", () => {
  const { queue, small, large, pending, takeAll } = setup();
  queue.put(pending("a", 0, small));
  const first = queue.take();
  if (first) queue.wait(first);
  queue.put(pending("b"));
  queue.put(pending("a", 0, large));
  assert.deepEqual(takeAll(), ["a", "b"]);
});

import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { eventually, ManualClock, silentLog } from "./testing/fakes.ts";
import { WorkQueue } from "./work-queue.ts";

function start(t: TestContext, reconcile: (key: string) => Promise<number | undefined>, concurrency?: number) {
  const clock = new ManualClock();
  const queue = new WorkQueue({ name: "test", clock, log: silentLog, reconcile, concurrency });
  const stop = new AbortController();
  const running = queue.run(stop.signal);
  t.after(async () => {
    stop.abort();
    await running;
  });
  return { clock, queue };
}

test("a key that is added often while it is worked on is looked at once more, never twice at the same time", async (t) => {
  const gates: (() => void)[] = [];
  let atOnce = 0;
  let most = 0;
  const { queue } = start(t, async () => {
    most = Math.max(most, ++atOnce);
    await new Promise<void>((resolve) => gates.push(resolve));
    atOnce--;
    return undefined;
  });
  queue.add("a");
  await eventually("the first look", () => gates.length === 1);
  for (let i = 0; i < 10; i++) queue.add("a");
  gates[0]?.();
  await eventually("the second look", () => gates.length === 2);
  gates[1]?.();
  await eventually("nothing is left", () => queue.size === 0);
  assert.equal(gates.length, 2);
  assert.equal(most, 1);
});

test("different keys are worked on side by side, up to the bound", async (t) => {
  const gates = new Map<string, () => void>();
  const { queue } = start(
    t,
    async (key) => {
      await new Promise<void>((resolve) => gates.set(key, resolve));
      return undefined;
    },
    2,
  );
  for (const key of ["a", "b", "c"]) queue.add(key);
  await eventually("two are worked on", () => gates.size === 2);
  await new Promise(setImmediate);
  assert.deepEqual([...gates.keys()], ["a", "b"]);
  gates.get("a")?.();
  await eventually("the third follows", () => gates.has("c"));
  for (const open of gates.values()) open();
});

test("a failure is tried again after a while that doubles, and success forgets it", async (t) => {
  let fails = 3;
  let calls = 0;
  const { clock, queue } = start(t, async () => {
    calls++;
    if (fails-- > 0) throw new Error("not yet");
    return undefined;
  });
  queue.add("a");
  for (const delayMs of [100, 200, 400]) {
    await eventually("the retry is planned", () => clock.pending[0] === delayMs);
    clock.advance(delayMs);
  }
  await eventually("it succeeded", () => queue.size === 0);
  assert.equal(calls, 4);
  assert.deepEqual(clock.pending, []);
});

test("an event does not wait for a planned look, and the sooner plan wins", async (t) => {
  const looks: number[] = [];
  const { clock, queue } = start(t, async () => {
    looks.push(clock.now());
    return undefined;
  });
  const begin = clock.now();
  queue.addAfter("a", 1_000);
  queue.addAfter("a", 500);
  queue.addAfter("a", 2_000);
  assert.deepEqual(clock.pending, [500]);
  queue.add("a");
  await eventually("it was looked at", () => looks.length === 1);
  clock.advance(5_000);
  await new Promise(setImmediate);
  assert.deepEqual(looks, [begin]);
});

test("reconcile says when to look again", async (t) => {
  let calls = 0;
  const { clock, queue } = start(t, async () => (++calls === 1 ? 700 : undefined));
  queue.add("a");
  await eventually("the second look is planned", () => clock.pending[0] === 700);
  clock.advance(700);
  await eventually("it was looked at twice", () => calls === 2 && queue.size === 0);
});

test("keys that are added before run are looked at, after the abort none is", async () => {
  const looks: string[] = [];
  const clock = new ManualClock();
  const queue = new WorkQueue({
    name: "test",
    clock,
    log: silentLog,
    reconcile: async (key) => {
      looks.push(key);
      return undefined;
    },
  });
  queue.add("early");
  const stop = new AbortController();
  const running = queue.run(stop.signal);
  await eventually("early was looked at", () => looks.length === 1);
  stop.abort();
  await running;
  queue.add("late");
  await new Promise(setImmediate);
  assert.deepEqual(looks, ["early"]);
});

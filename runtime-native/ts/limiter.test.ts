import assert from "node:assert/strict";
import { test } from "node:test";
import { Limiter } from "./limiter.ts";

/** Work that ends when told. */
function held() {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  return { work: () => promise, resolve, reject };
}

test("so many run at once, the others follow in order, also after a failure", async () => {
  const limiter = new Limiter(2);
  const started: number[] = [];
  const calls = Array.from({ length: 5 }, () => held());
  const results = calls.map(({ work }, i) =>
    limiter.run(() => {
      started.push(i);
      return work();
    }),
  );
  await Promise.resolve();
  assert.deepEqual(started, [0, 1]);
  calls[1]?.reject(new Error("failed"));
  await assert.rejects(results[1] as Promise<string>, /failed/);
  assert.deepEqual(started, [0, 1, 2]);
  calls[0]?.resolve("a");
  assert.equal(await results[0], "a");
  await Promise.resolve();
  assert.deepEqual(started, [0, 1, 2, 3]);
  for (const { resolve } of calls) resolve("rest");
  await Promise.all(results.filter((_, i) => i !== 1));
  // All places are free again.
  const again = [held(), held()];
  const both = again.map(({ work }) => limiter.run(work));
  for (const { resolve } of again) resolve("done");
  assert.deepEqual(await Promise.all(both), ["done", "done"]);
});

test("a queue that only grows is refused", async () => {
  const limiter = new Limiter(1);
  const first = held();
  const waiting = Array.from({ length: 10_001 }, () => limiter.run(first.work));
  await assert.rejects(limiter.run(first.work), { name: "RuntimeError", step: "wait for a worker thread" });
  first.resolve("done");
  await Promise.all(waiting);
});

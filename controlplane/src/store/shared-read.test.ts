import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { SharedRead } from "./shared-read.ts";

/** A read whose answers the test gives, in the order in which they were asked for. */
function scripted() {
  const asked: PromiseWithResolvers<number>[] = [];
  const shared = new SharedRead(() => {
    asked.push(Promise.withResolvers<number>());
    return (asked.at(-1) as PromiseWithResolvers<number>).promise;
  });
  return { asked, shared };
}

test("all who wait while a read is under way share the next one, which begins when that has ended", async () => {
  const { asked, shared } = scripted();
  const first = shared.get();
  const others = [shared.get(), shared.get(), shared.get()];
  await turn();
  assert.equal(asked.length, 1);
  asked[0]?.resolve(1);
  assert.equal(await first, 1);
  await turn();
  assert.equal(asked.length, 2);
  asked[1]?.resolve(2);
  assert.deepEqual(await Promise.all(others), [2, 2, 2]);
  await turn();
  const later = shared.get();
  assert.equal(asked.length, 3);
  asked[2]?.resolve(3);
  assert.equal(await later, 3);
});

test("nobody gets the answer of a read that began before they asked", async () => {
  let state = 0;
  let delivered: (() => void)[] = [];
  // The answer is the state when the read began, and takes its time to come.
  const shared = new SharedRead(async () => {
    const answer = state;
    await new Promise<void>((resolve) => delivered.push(resolve));
    return answer;
  });
  const pending: Promise<void>[] = [];
  for (let step = 0; step < 200; step++) {
    state++;
    const known = state;
    pending.push(shared.get().then((answer) => assert.ok(answer >= known, `${answer} was told to one who knew of ${known}`)));
    if (step % 3 !== 0) continue;
    for (const deliver of delivered.splice(0)) deliver();
    if (step % 2 === 0) await turn();
  }
  const release = setInterval(() => {
    for (const deliver of delivered) deliver();
    delivered = [];
  });
  await Promise.all(pending).finally(() => clearInterval(release));
});

test("a read that fails fails for those who shared it, and the next one is made all the same", async () => {
  const { asked, shared } = scripted();
  const first = shared.get();
  const next = shared.get();
  asked[0]?.reject(new Error("etcd is away"));
  await assert.rejects(first, /away/);
  await turn();
  asked[1]?.resolve(5);
  assert.equal(await next, 5);
});

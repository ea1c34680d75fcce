import assert from "node:assert/strict";
import { test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { EndedCgroups } from "./ended-cgroups.ts";

test("it looks ten seconds after a pod ended, again while something is left, and not at all when nothing is", async (t) => {
  t.mock.timers.enable({ apis: ["setTimeout"] });
  const left = [2, new Error("no"), 0];
  const warnings: string[] = [];
  let looks = 0;
  const library = {
    removeEndedCgroups: async () => {
      const answer = left[looks++] ?? 0;
      if (answer instanceof Error) throw answer;
      return answer;
    },
  };
  const ended = new EndedCgroups({ library, log: { info: () => {}, warn: (_, text) => warnings.push(text) } });
  const pass = async (ms: number) => {
    t.mock.timers.tick(ms);
    await turn();
  };
  await pass(60_000);
  assert.equal(looks, 0);
  ended.expect();
  await pass(9_999);
  ended.expect();
  assert.equal(looks, 0);
  await pass(1);
  assert.equal(looks, 1);
  await pass(10_000);
  assert.equal(looks, 2, "2 were left");
  await pass(60_000);
  assert.deepEqual([looks, warnings.length], [2, 1], "after a failure the next pod's end is waited for");
  ended.expect();
  await pass(10_000);
  await pass(60_000);
  assert.equal(looks, 3, "none was left");
  ended.expect();
  await ended.close();
  ended.expect();
  await pass(60_000);
  assert.equal(looks, 3);
});

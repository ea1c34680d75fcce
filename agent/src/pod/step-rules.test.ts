import assert from "node:assert/strict";
import { test } from "node:test";
import { Waiting } from "./reasons.ts";
import { isPokedBy, retryAfterMs, stepDeadlineMs } from "./step-rules.ts";

const seconds = (waiting: string) => Array.from({ length: 8 }, (_, failures) => retryAfterMs(waiting, failures + 1) / 1000);

test("an image is asked for again after 10 seconds, then ever later up to 5 minutes, as by the kubelet", () => {
  for (const waiting of [Waiting.errImagePull, Waiting.errImageNeverPull, Waiting.invalidImageName])
    assert.deepEqual(seconds(waiting), [10, 20, 40, 80, 160, 300, 300, 300], waiting);
});

test("all else is tried again after a second, then ever later up to a minute", () => {
  for (const waiting of ["", Waiting.createError, Waiting.configError])
    assert.deepEqual(seconds(waiting), [1, 2, 4, 8, 16, 32, 60, 60], waiting);
});

test("what has come is a reason to try at once what may have waited for it, and nothing else", () => {
  assert.deepEqual(
    ["prepareContainer main", "startContainer main", "mountVolume v", "allocateAddress", "createSandbox"].map((key) => [
      isPokedBy("objects", key),
      isPokedBy("images", key),
      isPokedBy("addresses", key),
    ]),
    [
      [true, true, false],
      [true, false, false],
      [true, false, false],
      [false, false, true],
      [false, false, false],
    ],
  );
});

test("a step has a minute, but for the transfer of an image and the pod's own hooks", () => {
  const because = "of this test";
  assert.equal(stepDeadlineMs({ do: "createSandbox", because }), 60_000);
  assert.equal(stepDeadlineMs({ do: "prepareContainer", container: "main", attempt: 0, because }), undefined);
});

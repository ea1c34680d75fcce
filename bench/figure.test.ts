import assert from "node:assert/strict";
import test from "node:test";
import { quantile, summarize } from "./figure.ts";

test("quantiles are samples by nearest rank", () => {
  const hundred = Array.from({ length: 100 }, (_, i) => i + 1);
  assert.deepEqual(
    [0, 0.5, 0.99, 1].map((q) => quantile(hundred, q)),
    [1, 50, 99, 100],
  );
  assert.throws(() => quantile([], 0.5), /no samples/);
});

test("a baseline gives a ratio of medians", () => {
  assert.deepEqual(summarize("f", "ms", [3, 1, 2], { name: "b", samples: [4, 4, 4] }).baseline, { name: "b", median: 4, ratio: 0.5 });
});

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { rateBetween } from "./rate.ts";
import { usage } from "./testing/reports.ts";

describe("the rate between two readings", () => {
  test("is CPU time over the node's own time, with the later memory", () => {
    assert.deepEqual(rateBetween(usage(100, 40, 5), usage(110.5, 42.1, 8)), {
      windowMs: 10_500,
      nanoCores: 200_000_000n,
      memoryBytes: 8n * 1024n * 1024n,
    });
  });

  test("of a container that did nothing is nothing", () => {
    assert.equal(rateBetween(usage(100, 40), usage(110, 40))?.nanoCores, 0n);
  });

  test("is exact where a double is not", () => {
    const earlier = { timeNs: 2n ** 62n, cpuNs: 2n ** 62n, memoryWorkingSetBytes: 0n };
    const later = { timeNs: 2n ** 62n + 1000n, cpuNs: 2n ** 62n + 1n, memoryWorkingSetBytes: 2n ** 60n + 1n };
    assert.deepEqual(rateBetween(earlier, later), { windowMs: 0, nanoCores: 1_000_000n, memoryBytes: 2n ** 60n + 1n });
  });

  for (const [claim, earlier, later] of [
    ["the counter went back: the container was restarted", usage(100, 40), usage(110, 1)],
    ["time went back: the node was booted", usage(100, 40), usage(5, 41)],
    ["no time has passed", usage(100, 40), usage(100, 41)],
    ["there is only one", undefined, usage(110, 1)],
    ["the later one is missing", usage(110, 1), undefined],
  ] as const) {
    test(`is not known when ${claim}`, () => assert.equal(rateBetween(earlier, later), undefined));
  }
});

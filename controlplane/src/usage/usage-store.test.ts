import assert from "node:assert/strict";
import { beforeEach, describe, test } from "node:test";
import { container, report, usage } from "./testing/reports.ts";
import { UsageStore } from "./usage-store.ts";

describe("the usage store", () => {
  let nowMs: number;
  let store: UsageStore;
  beforeEach(() => {
    nowMs = 1_000_000;
    store = new UsageStore({ now: () => nowMs });
  });

  /** Takes a report of node "n" after so many seconds of the test; the node was booted when it began. */
  function at(seconds: number, cpuSeconds: number, pods: Parameters<typeof report>[1] = {}): void {
    nowMs = 1_000_000 + seconds * 1000;
    store.take("n", report(usage(seconds, cpuSeconds), pods));
  }
  const coresOfNode = () => Number(store.ofNode("n")?.nanoCores ?? Number.NaN) / 1e9;
  const coresOfPod = (uid: string) => store.ofPod("n", uid)?.map(({ name, nanoCores }) => [name, Number(nanoCores) / 1e9]);

  test("knows nothing from one report, and the rate from two", () => {
    at(10, 1, { a: [container("web", usage(10, 1))] });
    assert.equal(store.ofNode("n"), undefined);
    assert.equal(store.ofPod("n", "a"), undefined);
    at(20, 6, { a: [container("web", usage(20, 3, 64)), container("new", usage(20, 1))] });
    assert.equal(coresOfNode(), 0.5);
    assert.deepEqual(store.ofPod("n", "a"), [
      { name: "web", atMs: 1_020_000, windowMs: 10_000, nanoCores: 200_000_000n, memoryBytes: 64n * 1024n * 1024n },
    ]);
    at(30, 6, { a: [container("web", usage(30, 3)), container("new", usage(30, 2))] });
    assert.deepEqual(coresOfPod("a"), [
      ["web", 0],
      ["new", 0.1],
    ]);
  });

  test("measures no restarted container by the counters of its earlier start, even if they are higher by now", () => {
    at(10, 0, { a: [container("web", usage(10, 1), 0)] });
    at(20, 0, { a: [container("web", usage(20, 9), 1)] });
    assert.equal(store.ofPod("n", "a"), undefined);
    at(30, 0, { a: [container("web", usage(30, 10), 1)] });
    assert.deepEqual(coresOfPod("a"), [["web", 0.1]]);
  });

  test("shows nothing of a container that is no longer reported", () => {
    at(10, 0, { a: [container("web", usage(10, 1))] });
    at(20, 0, { a: [container("web", usage(20, 1))] });
    at(30, 0, {});
    assert.equal(store.ofPod("n", "a"), undefined);
  });

  test("shows of a pod only what the node asked for says", () => {
    at(10, 0, { a: [container("web", usage(10, 1))] });
    at(20, 0, { a: [container("web", usage(20, 1))] });
    assert.equal(store.ofPod("other", "a"), undefined);
  });

  test("forgets a node three intervals after its last report", () => {
    at(10, 0, { a: [container("web", usage(10, 0))] });
    at(20, 1, { a: [container("web", usage(20, 1))] });
    nowMs += 29_999;
    assert.equal(coresOfNode(), 0.1);
    assert.equal(store.size, 1);
    nowMs += 1;
    assert.equal(store.ofNode("n"), undefined);
    assert.equal(store.ofPod("n", "a"), undefined);
    assert.equal(store.size, 0);
  });

  test("begins anew when a node comes back after longer than that", () => {
    at(10, 0);
    at(20, 1);
    at(120, 2);
    assert.equal(store.ofNode("n"), undefined);
    at(130, 7);
    assert.equal(coresOfNode(), 0.5);
  });

  test("measures a report that comes early over the longer while", () => {
    at(10, 0);
    at(20, 1);
    at(20.1, 1.1);
    assert.equal(store.ofNode("n")?.windowMs, 10_100);
    at(30.1, 6.1);
    assert.equal(coresOfNode(), 0.5);
  });

  test("believes no interval beyond five minutes, and none of nothing", () => {
    store.take("n", { ...report(usage(1, 0)), intervalMs: 2 ** 32 - 1 });
    store.take("m", { ...report(usage(1, 0)), intervalMs: 0 });
    nowMs += 2_999;
    assert.equal(store.size, 2);
    nowMs += 900_000;
    assert.equal(store.size, 0);
  });

  test("keeps nodes apart", () => {
    at(10, 0);
    store.take("m", report(usage(500, 100)));
    at(20, 1);
    store.take("m", report(usage(510, 120)));
    assert.equal(coresOfNode(), 0.1);
    assert.equal(store.ofNode("m")?.nanoCores, 2_000_000_000n);
  });
});

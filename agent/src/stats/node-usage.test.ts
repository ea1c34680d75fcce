import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parseBusyNs, parseWorkingSet, readNodeUsage } from "./node-usage.ts";

describe("what the node uses", () => {
  it("is the time that its processors worked: neither idle, nor waiting, nor stolen, and a guest's only once", () => {
    assert.equal(parseBusyNs("cpu  100 20 30 4000 500 6 7 8 90 9\ncpu0 1 1 1 1 1 1 1 1 1 1\n"), 163 * 10_000_000);
  });

  it("is the memory that is not available", () => {
    assert.equal(parseWorkingSet("MemTotal:        1000 kB\nMemFree:          100 kB\nMemAvailable:    400 kB\n"), 600 * 1024);
  });

  it("is not guessed when the kernel does not say it", () => {
    assert.throws(() => parseBusyNs("intr 5\n"), /does not begin with the sum/);
    assert.throws(() => parseWorkingSet("MemTotal:        1000 kB\n"), /no MemAvailable/);
  });

  it("can be read on this machine", async () => {
    const { timeNs, cpuNs, memoryWorkingSetBytes } = await readNodeUsage();
    assert.ok(timeNs > 0n && cpuNs > 0n && memoryWorkingSetBytes > 0n);
  });
});

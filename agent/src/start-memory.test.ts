import assert from "node:assert/strict";
import { beforeEach, describe, it } from "node:test";
import { FakeClock } from "./pod/testing/fake-clock.ts";
import { releaseStartMemory } from "./start-memory.ts";

describe("memory of the start", () => {
  let clock: FakeClock;
  let releases: number;
  let warnings: string[];
  let release: () => Promise<void>;
  let stop: AbortController;

  beforeEach(() => {
    clock = new FakeClock();
    releases = 0;
    warnings = [];
    release = async () => {};
    stop = new AbortController();
    const library = {
      releaseMemory: () => {
        releases++;
        return release();
      },
    };
    releaseStartMemory(
      { library, clock, log: { warn: (_: object, message: string) => void warnings.push(message) } as never },
      stop.signal,
    );
  });

  it("is given back once, when the agent has settled", () => {
    clock.advance(4999);
    assert.equal(releases, 0);
    clock.advance(1);
    assert.equal(releases, 1);
    clock.advance(3_600_000);
    assert.equal(releases, 1);
  });

  it("is left to the end of the process when that comes first", () => {
    stop.abort();
    clock.advance(10_000);
    assert.equal(releases, 0);
  });

  it("is no reason to end an agent when the kernel wants to keep it", async () => {
    release = () => Promise.reject(new Error("locked"));
    clock.advance(5000);
    await new Promise(setImmediate);
    assert.deepEqual(warnings, ["memory of the start could not be given back"]);
  });
});

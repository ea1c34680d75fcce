import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { describe, it } from "node:test";
import { withLock } from "./lock.ts";

const name = `test/${process.pid}`;
const busy = "somebody is at it";

describe("a lock", () => {
  it("has one holder at a time, and the next one after it", async () => {
    await withLock(name, { waitMs: 0, busy }, async () => {
      await assert.rejects(
        withLock(name, { waitMs: 0, busy }, async () => {}),
        { reason: "Conflict", message: busy },
      );
    });
    assert.equal(await withLock(name, { waitMs: 0, busy }, async () => 7), 7);
  });

  it("is given back when the work fails", async () => {
    const broken = new Error("broken");
    await assert.rejects(
      withLock(name, { waitMs: 0, busy }, async () => {
        throw broken;
      }),
      broken,
    );
    await withLock(name, { waitMs: 0, busy }, async () => {});
  });

  it("is taken from a holder that was killed", async () => {
    const program = `import { withLock } from ${JSON.stringify(join(import.meta.dirname, "lock.ts"))};
      await withLock(${JSON.stringify(name)}, { waitMs: 0, busy: "" }, async () => { console.log("held"); await new Promise(() => setTimeout(() => {}, 1e6)); });`;
    const holder = spawn(process.execPath, ["--input-type=module", "-e", program], { stdio: ["ignore", "pipe", "inherit"] });
    await once(holder.stdout, "data");
    await assert.rejects(
      withLock(name, { waitMs: 0, busy }, async () => {}),
      { reason: "Conflict" },
    );
    holder.kill("SIGKILL");
    await withLock(name, { waitMs: 5000, busy }, async () => {});
  });
});

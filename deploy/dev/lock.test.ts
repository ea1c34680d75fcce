import assert from "node:assert/strict";
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { startProgram } from "../../runtime-native/ts/testing/program.ts";
import { mustRun } from "./command.ts";
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
    const holder = await startHolder('console.log("held"); await new Promise(() => setTimeout(() => {}, 1e6));');
    await assert.rejects(
      withLock(name, { waitMs: 0, busy }, async () => {}),
      { reason: "Conflict" },
    );
    holder.kill("SIGKILL");
    await withLock(name, { waitMs: 30_000, busy }, async () => {});
  });

  it("is held by what a killed holder has started, until that has ended", async () => {
    const folder = await mkdtemp(join(tmpdir(), "tessera-lock-"));
    try {
      const gate = join(folder, "gate");
      await mustRun(["mkfifo", gate]);
      // Outlives the holder, and would do now what the next one does not expect.
      const command = ["sh", "-c", `: >${folder}/begun; read line <${gate}`];
      const tell = `setInterval(() => existsSync("${folder}/begun") && console.log("begun"), 10);`;
      const holder = await startHolder(`${tell} await runCommand(${JSON.stringify(command)});`);
      const gone = once(holder, "exit");
      holder.kill("SIGKILL");
      await gone;
      await assert.rejects(
        withLock(name, { waitMs: 200, busy }, async () => {}),
        { reason: "Conflict" },
      );
      await writeFile(gate, "go on\n");
      await withLock(name, { waitMs: 30_000, busy }, async () => {});
    } finally {
      await rm(folder, { recursive: true, force: true });
    }
  });
});

/** A program that does this while it holds the lock. */
async function startHolder(work: string): Promise<ChildProcess> {
  const [lock, command] = ["lock.ts", "command.ts"].map((file) => JSON.stringify(join(import.meta.dirname, file)));
  const program = `import { withLock } from ${lock};
    import { runCommand } from ${command};
    import { existsSync } from "node:fs";
    await withLock(${JSON.stringify(name)}, { waitMs: 0, busy: "" }, async () => { ${work} });`;
  return await startProgram(process.execPath, ["--input-type=module", "-e", program]);
}

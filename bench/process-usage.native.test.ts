import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { CpuMeter } from "./process-usage.ts";

/** A process that lives in a cgroup below the meter's, as a baseline's container does. */
async function livesIn(meter: CpuMeter, ...below: string[]): Promise<{ ended: Promise<unknown>; folder: string; kill: () => void }> {
  const folder = dirname(dirname(meter.processesFile));
  const cgroup = join(folder, ...below);
  mkdirSync(cgroup, { recursive: true });
  const child = spawn("sleep", ["1000"], { stdio: "ignore" });
  const ended = once(child, "exit");
  await once(child, "spawn");
  writeFileSync(join(cgroup, "cgroup.procs"), String(child.pid));
  return { ended, folder, kill: () => void child.kill("SIGKILL") };
}

test("what a benchmark that was killed has left running is ended and removed, what a living one runs is not", async (t) => {
  const { pid } = spawnSync("true");
  const stale = await livesIn(new CpuMeter(`tessera-bench-${pid}`), "crun", "bench");
  const meter = new CpuMeter(`tessera-bench-${process.pid}`);
  const own = await livesIn(meter, "crun");
  t.after(() => own.kill());
  await CpuMeter.removeStale();
  const [code, signal] = (await stale.ended) as [unknown, unknown];
  assert.deepEqual([code, signal], [null, "SIGKILL"]);
  assert.ok(!existsSync(stale.folder));

  assert.ok(existsSync(own.folder));
  await meter.killAll();
  await own.ended;
  meter.remove();
  assert.ok(!existsSync(own.folder));
});

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import { NativeLibrary } from "./native-library.ts";
import { Node, nativeDir } from "./native-runtime-fixture.ts";
import { until } from "./testing/patience.ts";

const node = new Node();
const runtime = node.agent();
const signal = AbortSignal.timeout(600_000);
const outside = join(node.folder, "outside");
mkdirSync(outside);
after(() => node.close());

/** A pod that writes a file of so many KiB which outlives it, and is removed. */
async function runPod(id: string, kib: number): Promise<void> {
  const spec = node.sandbox({ id });
  await runtime.createSandbox(spec, signal);
  const writes = node.container(id, `dd if=/dev/zero of=/outside/${id} bs=1k count=${kib} 2>/dev/null`);
  const mount = { source: outside, destination: "/outside", readOnly: false, recursive: false, propagation: "private" } as const;
  await runtime.startContainer(id, { ...writes, mounts: [{ type: "bind", ...mount }] }, signal);
  assert.equal((await node.exit(id)).exitCode, 0);
  await runtime.removeSandbox(id);
}

/** Writes out the file system, whose own blocks the pods are charged for as well. */
function sync(): void {
  execFileSync("sync", ["--file-system", outside]);
}

/** Two minutes after its end at the latest each cgroup goes. */
const goneMs = 180_000;

/** Cgroups below the root, whatever they are called. */
async function folders(): Promise<string[]> {
  const roots = await node.library.cgroupDirs("");
  return roots.flatMap((root) => readdirSync(root, { withFileTypes: true }).filter((entry) => entry.isDirectory())).map(({ name }) => name);
}

const memoryRoot = (await node.library.cgroupDirs("")).find((dir) => dir.startsWith("/sys/fs/cgroup/memory/"));

/** KiB in the page cache that are charged to what is below the root, removed cgroups included: the kernel keeps each for as long as it has any. */
function cachedKib(): number {
  const [, bytes] = /^total_cache (\d+)$/m.exec(readFileSync(join(memoryRoot ?? "", "memory.stat"), "utf8")) ?? [];
  return Number(bytes) / 1024;
}

test("no cgroup of an ended sandbox is listed, and none stays", async () => {
  await runPod("gone", 1);
  assert.deepEqual(await node.library.listCgroups(), []);
  sync();
  await until("no cgroup is left", async () => (await node.library.removeEndedCgroups()) === 0, goneMs);
  assert.deepEqual(await folders(), []);
});

const needsV1 = !existsSync("/sys/fs/cgroup/memory") && "needs the v1 memory controller";

test("a cgroup that little is charged to goes with what it keeps cached, by the next agent too", { skip: needsV1 }, async () => {
  const ids = Array.from({ length: 10 }, (_, index) => `small-${index}`);
  for (const id of ids) await runPod(id, 64);
  const next = new NativeLibrary({ nativeDir, cgroupRoot: node.cgroupRoot });
  // The sums come a moment later.
  await until("the files are charged to them", () => cachedKib() >= ids.length * 64);
  sync();
  await until("they are removed", async () => (await next.removeEndedCgroups()) === 0, goneMs);
  assert.deepEqual(await folders(), []);
  await until("none of them keeps its file", () => cachedKib() < 64);
  await next.close();
});

test("what keeps much cached is only removed: another pod may read it next", { skip: needsV1 }, async () => {
  await runPod("large", 1024);
  sync();
  await until("it is charged", () => cachedKib() >= 1024);
  await until("it is removed", async () => (await node.library.removeEndedCgroups()) === 0, goneMs);
  assert.deepEqual(await folders(), []);
  assert.ok(cachedKib() >= 1024, `${cachedKib()} KiB are cached`);
});

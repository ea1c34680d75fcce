import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir, readdir, rm, statfs, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { it } from "node:test";
import { TestNode, until } from "./testing/harness.ts";
import { deleted, pod } from "./testing/pod-builder.ts";

it("a pod that comes to a full disk says so, holds nothing meanwhile, and runs when there is room", async (t) => {
  const node = await TestNode.make();
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=1m", "tessera-test", node.folder]);
  t.after(async () => {
    execFileSync("umount", [node.folder]);
    await rm(node.folder, { recursive: true });
  });
  const pods = await node.agent();
  try {
    const status = (name: string) => node.statuses.get(`uid-${name}`);
    const seen = () => ({ status: status("b"), events: node.events });
    pods.assign(pod("a"));
    await until(() => status("a")?.phase === "Running", seen);
    const filler = join(node.folder, "filler");
    await mkdir(join(node.folder, "pods"), { recursive: true });
    const { bavail, bsize } = await statfs(node.folder);
    await writeFile(filler, Buffer.alloc(bavail * bsize));

    pods.assign(pod("b"));
    await until(() => node.events.some(({ type, message }) => type === "Warning" && /no space left on device/.test(message)), seen);
    assert.equal(status("b")?.phase, "Pending");
    await until(() => node.kernel.sandboxes.size === 1, seen);
    assert.equal(status("a")?.phase, "Running", "who ran before runs on");

    await truncate(filler, 0);
    await until(() => {
      node.clock.advance(1_000);
      return status("b")?.phase === "Running";
    }, seen);
    for (const name of ["a", "b"]) pods.assign(deleted(pod(name), 0));
    await until(() => node.gone.size === 2, seen);
    assert.deepEqual(await node.leftovers(), []);
    assert.deepEqual(await readdir(join(node.folder, "pods")), []);
  } finally {
    await pods.stop();
  }
});

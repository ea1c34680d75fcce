import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { programPath } from "./testing/program.ts";

const run = promisify(execFile);
const nativeDir = fileURLToPath(new URL("../../dist", import.meta.url));

/** Leaves nothing mounted but one cgroup2, as on a machine that knows no other. */
const onlyV2 = `
  for mount in $(awk '/ - cgroup / { print $5 }' /proc/self/mountinfo); do umount "$mount" || exit 1; done
  grep -q ' - cgroup2 ' /proc/self/mountinfo || mount -t cgroup2 cgroup2 /sys/fs/cgroup || exit 1
  exec "$@"
`;

test("on cgroup v2 processes are cloned into their cgroup, killed at once, and kept from devices", async () => {
  const folder = await mkdtemp(join(tmpdir(), "tessera-v2-"));
  try {
    const { stdout } = await run("unshare", [
      ...["--mount", "--propagation", "private", "sh", "-c", onlyV2, "sh"],
      ...[process.execPath, programPath("cgroup-v2-process"), nativeDir, folder],
    ]);
    const { memory, controllers, ...seen } = JSON.parse(stdout);
    assert.deepEqual(seen, {
      dirs: 1,
      names: [["pod"], ["app"]],
      member: "/pod/app/shim",
      processes: 4,
      left: [],
      cpu: true,
      devices: `cat: ${folder}/kmsg: Operation not permitted\n1\n`,
      removed: true,
    });
    // A machine whose v1 hierarchies hold the controllers has none to give here, and that is said.
    if (controllers.split(/\s/).includes("memory")) assert.equal(memory, "done");
    else assert.equal(memory, "set cgroup limit: the memory controller is not available: Operation not supported");
  } finally {
    await rm(folder, { recursive: true });
  }
});

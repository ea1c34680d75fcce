import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { globSync, statfsSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { promisify } from "node:util";

const cgroup2Magic = 0x63677270;

/** A mount namespace in which cgroup v2 is all there is; its limits need controllers, which v1 may hold. */
const script = `
  mount --make-rprivate /
  umount -R /sys/fs/cgroup
  mount -t cgroup2 none /sys/fs/cgroup
  exec "$@"`;

test("all holds on cgroup v2 as well", {
  skip: statfsSync("/sys/fs/cgroup").type === cgroup2Magic && "it is what all tests run on",
}, async () => {
  const files = globSync(["container-*.native.test.ts", "native-runtime.native.test.ts"], { cwd: import.meta.dirname });
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const args = [
    "-m",
    "sh",
    "-ec",
    script,
    "sh",
    process.execPath,
    "--test",
    "--test-reporter=tap",
    ...files.map((file) => join(import.meta.dirname, file)),
  ];
  const { stdout } = await promisify(execFile)("unshare", args, { env, maxBuffer: 10_000_000 }).catch((error) => {
    assert.fail(String((error as { stdout: string }).stdout).replace(/^(?!not ok)(?!\s+(error|stack|location)).*\n/gm, ""));
  });
  assert.match(stdout, /# fail 0/);
  assert.ok(Number(/# pass (\d+)/.exec(stdout)?.[1]) > 50, stdout);
});

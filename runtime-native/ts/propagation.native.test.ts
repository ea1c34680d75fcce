import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, test } from "node:test";
import { Node } from "./native-runtime-fixture.ts";
import type { Mount } from "./runtime.ts";
import { until } from "./testing/patience.ts";

const node = new Node();
const runtime = node.agent();
const signal = AbortSignal.timeout(600_000);
const pod = node.sandbox();
const source = join(node.folder, "shared");

before(async () => {
  mkdirSync(source);
  execFileSync("mount", ["-t", "tmpfs", "none", source]);
  execFileSync("mount", ["--make-shared", source]);
  await runtime.createSandbox(pod, signal);
});
after(async () => {
  await runtime.removeSandbox(pod.id);
  execFileSync("umount", ["-R", source]);
  await node.close();
});

const isMounted = (path: string) => readFileSync("/proc/self/mountinfo", "utf8").includes(` ${path} `);
const volume = (destination: string, propagation: Mount["propagation"]): Mount => ({
  type: "bind",
  source,
  destination,
  readOnly: false,
  recursive: true,
  propagation,
});

describe("mounts that come later", () => {
  test("are seen on the other side only as the volume's propagation says", async () => {
    for (const name of ["late", "of-private", "of-slave", "of-shared"]) mkdirSync(join(source, name));
    const script = `
      for kind in private slave shared; do mount -t tmpfs none /$kind/of-$kind; done
      touch /shared/ready
      until test -e /slave/late/mark && test -e /shared/late/mark; do sleep 0.02; done
      ls /private/late /shared/late /slave/late`;
    const mounts = [volume("/private", "private"), volume("/slave", "rslave"), volume("/shared", "rshared")];
    const spec = node.container("propagating", script, { mounts, privileged: true, seccomp: "Unconfined", noNewPrivileges: false });
    await runtime.startContainer(pod.id, spec, signal);
    await until("the container's mount on the node", () => isMounted(join(source, "of-shared")));
    await until("the container's word", () => existsSync(join(source, "ready")));
    assert.equal(isMounted(join(source, "of-private")), false);
    assert.equal(isMounted(join(source, "of-slave")), false);
    execFileSync("mount", ["-t", "tmpfs", "none", join(source, "late")]);
    writeFileSync(join(source, "late/mark"), "");
    await node.exit("propagating");
    await runtime.removeContainer(pod.id, "propagating");
    assert.equal(node.output("propagating"), "/private/late:\n\n/shared/late:\nmark\n\n/slave/late:\nmark\n");
  });
});

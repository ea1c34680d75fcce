/**
 * A virtual machine whose kernel has cgroup v2 and nothing else: there the native runtime's own tests and whole pods pass. Without hardware
 * virtualization everything in it takes twenty to fifty times as long as outside, a Node that loads the runtime five seconds.
 */
import assert from "node:assert/strict";
import { globSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { describe, test } from "node:test";
import { makeGuestImage } from "./guest-image.ts";
import { unpackKernel } from "./kernel.ts";
import { runMachine } from "./machine.ts";

const repository = resolve(import.meta.dirname, "../..");

/** What cgroups are no matter of, and would take some minutes more (paths, the node's network, streams); and two that are for outside. */
const outside = new Set([
  ...["container-hostile-images", "subpath", "native-host-files", "native-node-network", "host-ports"],
  ...["native-runtime-connect", "native-runtime-exec"],
  // One compiles what it runs. The other makes the others run where only cgroup v2 is mounted, without its controllers.
  ...["c-units", "native-runtime-cgroup2"],
]);

const groups = {
  pod: ["test-e2e/qemu/guest/whole-pod.test.ts"],
  runtime: globSync("runtime-native/ts/*.native.test.ts", { cwd: repository })
    .filter((file) => !outside.has(basename(file, ".native.test.ts")))
    .sort(),
};

const cache = join(repository, "dist/qemu");
/** A calm machine needs a third of it. */
const deadlineMs = 800_000;

const kernel = unpackKernel(cache);
const run = await runMachine(kernel, await makeGuestImage(join(cache, "image"), kernel, groups), deadlineMs);
const lastWords = run.console.slice(-4000);
// Some need what only v1 has; they say so, and are told of where they run.
const told = run.events.filter((event) => event.event === "test").filter(({ skipped }) => !skipped?.startsWith("needs the v1"));

test("the machine boots, runs everything and ends by itself", () => {
  const failed = run.events.find((event) => event.event === "failed");
  assert.equal(failed, undefined, lastWords);
  assert.ok(run.ended, `it was killed after ${deadlineMs} ms; its last words:\n${lastWords}`);
  const last = run.events.at(-1);
  assert.deepEqual(last?.event === "ended" && last.status, 0, lastWords);
});

for (const file of Object.values(groups).flat()) {
  const inGuest = `/tessera/${file.replace(/\.ts$/, ".mjs")}`;
  const tests = told.filter((one) => one.file === inGuest);
  describe(file, () => {
    test("is run to its end", () => {
      assert.ok(run.events.some((event) => event.event === "file" && event.file === inGuest) && tests.length > 0, lastWords);
    });
    for (const { name, error, skipped, said } of tests) {
      test(name, () => {
        assert.equal(skipped, undefined, "whatever a test may want, this machine is made to have");
        assert.equal(error, undefined, `${error}\nbefore that the guest said:\n${said.slice(-4000)}`);
      });
    }
  });
}

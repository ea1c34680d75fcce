/**
 * A virtual machine whose kernel has cgroup v2 and nothing else: there the native runtime's own tests and one whole pod pass. Without hardware
 * virtualization everything in it takes ten to thirty times as long as outside, so tests of what does not differ there stay outside:
 * files of images and containers, the network of the node, streams, and the C units, which would need a compiler as well.
 */
import assert from "node:assert/strict";
import { join, resolve } from "node:path";
import { describe, test } from "node:test";
import { makeGuestImage } from "./guest-image.ts";
import { unpackKernel } from "./kernel.ts";
import { runMachine } from "./machine.ts";

const groups = {
  pod: ["test-e2e/qemu/guest/whole-pod.test.ts"],
  runtime: [
    "cgroup-v2",
    "container-namespaces",
    "container-process",
    "container-surroundings",
    "container-target-pids",
    "limits",
    "native-library",
    "native-runtime",
    "native-runtime-recovery",
  ].map((name) => `runtime-native/ts/${name}.native.test.ts`),
};

const cache = resolve(import.meta.dirname, "../../dist/qemu");
/** A calm machine needs a sixth of it. */
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

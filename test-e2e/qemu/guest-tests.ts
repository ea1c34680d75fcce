import assert from "node:assert/strict";
import { join, resolve } from "node:path";
import { describe, test } from "node:test";
import { makeGuestImage } from "./guest-image.ts";
import { unpackKernel } from "./kernel.ts";
import { runMachine } from "./machine.ts";

const cache = resolve(import.meta.dirname, "../../dist/qemu");
/** A machine that is calm and does nothing else needs a fifth of it. */
const deadlineMs = 1_000_000;

/**
 * Runs test files, paths from the repository's root, in a virtual machine whose kernel has cgroup v2 and nothing else, and makes each of
 * their tests one of the file that calls this. Without hardware virtualization everything in it takes twenty to fifty times as long as
 * outside, a Node that loads the runtime four seconds. As many files run at a time as the machine has processors, and those that are first
 * here begin first.
 *
 * @param name of the machine: dist/qemu/NAME has its disk and, as it comes, what it writes on its console
 */
export async function testInGuest(name: string, files: readonly string[]): Promise<void> {
  const kernel = unpackKernel(cache);
  const run = await runMachine(kernel, await makeGuestImage(join(cache, name), kernel, files), deadlineMs);
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

  for (const file of files) {
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
}

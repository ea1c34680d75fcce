import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { globSync } from "node:fs";
import { basename, join } from "node:path";
import { before, describe, test } from "node:test";
import { promisify } from "node:util";

const run = promisify(execFile);
const packageRoot = join(import.meta.dirname, "..");
const programs = globSync("src/test/*.c", { cwd: packageRoot }).map((file) => basename(file, ".c"));

// Each rejects with all that the compiler, the program and the sanitizers said.
describe("the C library passes, with address and undefined behaviour sanitizers, its own tests of", () => {
  before(() => run("make", ["-s", "-j2", "-C", packageRoot, "units"]));

  for (const name of programs.sort()) {
    test(name, async () => {
      await run(join(packageRoot, "build/test", name));
    });
  }

  test("are there", () => assert.notEqual(programs.length, 0));
});

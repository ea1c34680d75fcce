import { execFile } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

test("the C library's own tests pass with address and undefined behaviour sanitizers", async () => {
  // Rejects with all that the compiler, the tests and the sanitizers said.
  await promisify(execFile)("make", ["-s", "-j2", "-C", fileURLToPath(new URL("..", import.meta.url)), "check"]);
});

import { execFileSync } from "node:child_process";
import { globSync } from "node:fs";
import { resolve } from "node:path";
import { test } from "node:test";

test("shellcheck finds nothing in what is installed on machines", () => {
  const cwd = resolve(import.meta.dirname);
  execFileSync("shellcheck", ["install.sh", ...globSync("release/bin/*", { cwd })], { cwd, encoding: "utf8" });
});

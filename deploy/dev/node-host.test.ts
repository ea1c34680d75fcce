import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { agentNodeOptions } from "./node-host.ts";

test("an agent of a release has the options of one that is developed", () => {
  const launcher = readFileSync(new URL("../release/bin/launcher", import.meta.url), "utf8");
  const [, options] = /"\$name" != agent .*options="\$options (.*)"/.exec(launcher) ?? [];
  assert.deepEqual(options?.split(" "), agentNodeOptions);
});

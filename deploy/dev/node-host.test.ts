import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { agentEnvironment, agentNodeOptions } from "./node-host.ts";

test("an agent of a release has the options of one that is developed", () => {
  const launcher = readFileSync(new URL("../release/bin/launcher", import.meta.url), "utf8");
  const [, settings] = /if \[ "\$name" = agent \]; then\n([\s\S]*?)fi\n/.exec(launcher) ?? [];
  const lines = [...agentEnvironment.map((variable) => `export ${variable}`), `options="$options ${agentNodeOptions.join(" ")}"`];
  assert.equal(settings, lines.map((line) => `  ${line}\n`).join(""));
});

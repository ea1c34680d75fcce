import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";

const main = join(import.meta.dirname, "main.ts");

for (const [words, reason] of [
  [["exce"], /^bench: unknown benchmark exce; there are api, container, exec, /],
  [["--comapre", "HEAD"], /^bench: Unknown option '--comapre'.*\nnpm run bench \[-- NAME/],
  [["--compare"], /^bench: Option '--compare <value>' argument missing\nnpm run bench/],
  [["growth", "--compare", "HEAD"], /^bench: growth draws charts and has no figures to compare\n$/],
  [["exec", "--compare", "HEAD", "--rounds", "0"], /^bench: --rounds takes a number from 1 on, not 0\n$/],
  [["exec", "--rounds", "5"], /^bench: --rounds goes with --compare REVISION\n$/],
] as const)
  test(`"${words.join(" ")}" is refused with a reason, and nothing is measured`, () => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [main, ...words], { encoding: "utf8" });
    assert.match(stderr, reason);
    assert.doesNotMatch(stderr, /^ +at /m);
    assert.deepEqual([status, stdout], [2, ""]);
  });

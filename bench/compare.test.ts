import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { figuresAlone, juxtapose, type Medians, runBenchmark, turns } from "./compare.ts";

const run = (figures: Record<string, number>): Medians =>
  new Map(Object.entries(figures).map(([figure, median]) => [figure, { unit: "ms", median }]));

test("figures that all runs have are compared by the median of the rounds' ratios, and the others are told", () => {
  const here = [run({ a: 2, b: 1, c: 1 }), run({ a: 9, b: 1 }), run({ a: 4, b: 1 })];
  const there = [run({ a: 1, d: 1 }), run({ a: 3, d: 1 }), run({ a: 4, d: 1 })];
  const comparisons = juxtapose(here, there);
  assert.deepEqual(comparisons, [{ figure: "a", unit: "ms", here: [2, 9, 4], there: [1, 3, 4], ratio: 2, ratios: [1, 3] }]);
  assert.deepEqual(figuresAlone([...here, ...there], comparisons), ["b", "c", "d"]);
});

test("both revisions have their turn in each round, and come first equally often", () => {
  const rounds = [0, 1, 2, 3].map(turns);
  for (const round of rounds) assert.deepEqual([...round].sort(), ["here", "there"]);
  assert.equal(rounds.filter(([first]) => first === "here").length, 2);
});

/** Programs as bench/main.ts is one, that do what the code says. */
function programs(t: TestContext, ...codes: readonly string[]): string[] {
  const folder = mkdtempSync(join(tmpdir(), "tessera-bench-compare-"));
  t.after(() => rmSync(folder, { recursive: true }));
  return codes.map((code, index) => {
    const path = join(folder, `${index}.mjs`);
    writeFileSync(path, code);
    return path;
  });
}

const prints = (median: number) => `console.log(JSON.stringify({ figure: process.argv[2], unit: "ms", median: ${median} }))`;

test("a benchmark that does not run on the other revision's code is replaced by that revision's own", async (t) => {
  const [broken = "", own = ""] = programs(t, `${prints(1)}; process.exit(3)`, prints(2));
  assert.deepEqual(await runBenchmark({ mains: [broken, own] }, "scheduler"), run({ scheduler: 2 }));
  await assert.rejects(runBenchmark({ mains: [broken] }, "scheduler"), /the benchmark scheduler fails: .*0\.mjs/);
});

/**
 * Runs the test suites one after another: `node scripts/run-tests.ts [unit|integration|native|e2e|guest ...]`.
 * A file's name says its suite: x.test.ts is a unit test, x.integration.test.ts needs etcd, NATS or kubectl,
 * x.native.test.ts needs root and the kernel, x.e2e.test.ts needs a whole cluster or, below test-e2e/qemu, an emulated machine.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { globSync } from "node:fs";

interface Suite {
  readonly name: string;
  readonly pattern: string;
  readonly exclude?: string;
  /** It runs along with the suite of that name, which goes first where both want a processor, and is told of after it. */
  readonly beside?: string;
  /** Test files at a time: the kernel suites share one machine's links and cgroups. */
  readonly concurrency: number;
  readonly timeoutMs: number;
  /** Makes what the whole suite shares, and removes it. */
  readonly globalSetup?: string;
}

const suites: readonly Suite[] = [
  {
    name: "unit",
    pattern: "{proto,controlplane,agent,runtime-native,tsctl,deploy,bench,scripts}/**/*.test.ts",
    concurrency: 2,
    timeoutMs: 60_000,
  },
  { name: "integration", pattern: "{proto,controlplane,agent,tsctl,deploy}/**/*.integration.test.ts", concurrency: 2, timeoutMs: 180_000 },
  { name: "native", pattern: "{runtime-native,agent,deploy,bench}/**/*.native.test.ts", concurrency: 1, timeoutMs: 180_000 },
  {
    name: "e2e",
    pattern: "test-e2e/**/*.e2e.test.ts",
    exclude: "test-e2e/qemu/**",
    concurrency: 1,
    timeoutMs: 900_000,
    globalSetup: "./test-e2e/harness/global-setup.ts",
  },
  { name: "guest", pattern: "test-e2e/qemu/**/*.e2e.test.ts", beside: "e2e", concurrency: 1, timeoutMs: 1_200_000 },
];

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !suites.some((suite) => suite.name === name));
if (unknown.length > 0) {
  console.error(`unknown suite ${unknown.join(", ")}; there are ${suites.map((suite) => suite.name).join(", ")}`);
  process.exit(2);
}

const totals = { passed: 0, failed: 0, skipped: 0 };
const chosen = suites.filter((suite) => wanted.length === 0 || wanted.includes(suite.name));
const isCompanion = (suite: Suite) => chosen.some(({ name }) => name === suite.beside);
for (const suite of chosen.filter((one) => !isCompanion(one))) {
  const companions = chosen.filter(({ beside }) => beside === suite.name).map((companion) => runBeside(companion));
  await runSuite(suite, (text) => process.stdout.write(text));
  for (const companion of companions) process.stdout.write(await companion);
}
console.log(`${totals.passed} passed, ${totals.failed} failed${totals.skipped > 0 ? `, ${totals.skipped} skipped` : ""}`);
if (totals.skipped > 0 && process.env["CI"]) {
  console.error("skipped tests are not allowed in CI");
  process.exit(1);
}
process.exit(totals.failed === 0 && totals.passed > 0 ? 0 : 1);

/** Returns what the suite has said. */
async function runBeside(suite: Suite): Promise<string> {
  let said = "";
  await runSuite(suite, (text) => {
    said += text;
  });
  return said;
}

async function runSuite(suite: Suite, write: (text: string) => void): Promise<void> {
  const isOtherSuite = /\.(integration|native|e2e)\.test\.ts$/;
  const excluded = suite.exclude === undefined ? [] : globSync(suite.exclude);
  const files = globSync(suite.pattern, { exclude: (path) => path.includes("node_modules") })
    .filter((file) => (suite.name !== "unit" || !isOtherSuite.test(file)) && !excluded.includes(file))
    .sort();
  if (files.length === 0) return;
  write(`\n== ${suite.name}: ${files.length} files\n`);
  const run = spawn(
    "nice",
    [
      ...["-n", suite.beside === undefined ? "0" : "10", process.execPath],
      "--test",
      `--test-concurrency=${suite.concurrency}`,
      `--test-timeout=${suite.timeoutMs}`,
      "--test-reporter=./scripts/test-reporter.ts",
      "--test-reporter-destination=stdout",
      ...(suite.globalSetup ? [`--test-global-setup=${suite.globalSetup}`] : []),
      ...files,
    ],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  let tail = "";
  run.stdout.setEncoding("utf8").on("data", (text: string) => {
    write(text);
    tail = (tail + text).slice(-200);
  });
  const [status] = await once(run, "close");
  const counts = /^counts passed=(\d+) failed=(\d+) skipped=(\d+)$/m.exec(tail);
  totals.passed += Number(counts?.[1] ?? 0);
  totals.failed += Number(counts?.[2] ?? 0);
  totals.skipped += Number(counts?.[3] ?? 0);
  // A runner that died without its counts must not look like success.
  if (!counts || (status !== 0 && counts[2] === "0")) totals.failed++;
}

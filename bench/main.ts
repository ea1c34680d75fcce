/**
 * `npm run bench [-- NAME ...]`: runs the benchmarks named, or all, and prints one JSON line per figure.
 * `npm run bench -- [NAME ...] --compare REVISION [--rounds N]`: runs them in turn with those of another revision and prints ratios.
 */
import { loadavg } from "node:os";
import { parseArgs } from "node:util";
import { TesseraError } from "@tessera/proto";
import { benchApi } from "./api.ts";
import { compare } from "./compare.ts";
import { benchContainer } from "./container.ts";
import { removeStaleClusters } from "./dev-cluster.ts";
import { benchExec } from "./exec.ts";
import { benchGrowth } from "./growth.ts";
import { benchMemory } from "./memory.ts";
import { benchPodStart } from "./pod-start.ts";
import { benchPodsAtOnce } from "./pods-at-once.ts";
import { CpuMeter } from "./process-usage.ts";
import { benchScheduler } from "./scheduler.ts";
import { runProgram } from "./undo.ts";
import { removeStaleWorkFolders } from "./work-folder.ts";

const benchmarks = {
  api: benchApi,
  container: benchContainer,
  exec: benchExec,
  "pod-start": benchPodStart,
  "pods-at-once": benchPodsAtOnce,
  memory: benchMemory,
  scheduler: benchScheduler,
};
/** Prints no figures but the points of the charts, and only when it is named. */
const growth = { growth: benchGrowth };

const usage = `npm run bench [-- NAME ...] [-- --compare REVISION [--rounds N]]; NAME is one of ${Object.keys({ ...benchmarks, ...growth }).join(", ")}`;
const { values, positionals } = readArguments();
const all = values.compare === undefined ? { ...benchmarks, ...growth } : benchmarks;
const unknown = positionals.filter((name) => !Object.hasOwn(all, name));
const rounds = Number(values.rounds ?? 3);
if (values.compare !== undefined && unknown.includes("growth")) fail("growth draws charts and has no figures to compare");
if (unknown.length > 0) fail(`unknown benchmark ${unknown.join(", ")}; there are ${Object.keys(all).join(", ")}`);
if (values.rounds !== undefined && values.compare === undefined) fail("--rounds goes with --compare REVISION");
if (!Number.isInteger(rounds) || rounds < 1) fail(`--rounds takes a number from 1 on, not ${values.rounds}`);
const wanted = positionals.length > 0 ? positionals : Object.keys(benchmarks);
const print = (line: object) => console.log(JSON.stringify({ ...line, load: loadavg()[0] }));

if (process.getuid?.() !== 0) fail("must run as root, for namespaces and cgroups: try again with sudo");

await runProgram(async () => {
  await removeStaleClusters();
  await CpuMeter.removeStale();
  removeStaleWorkFolders();
  if (values.compare !== undefined) return await compare(values.compare, wanted, rounds, print);
  for (const [name, benchmark] of Object.entries(all)) if (wanted.includes(name)) await benchmark(print);
}).catch((error: unknown) => {
  if (!(error instanceof TesseraError)) throw error;
  console.error(`bench: ${error.message}`);
  process.exit(1);
});

function readArguments() {
  try {
    const options = { compare: { type: "string" }, rounds: { type: "string" }, help: { type: "boolean", short: "h" } } as const;
    const words = parseArgs({ allowPositionals: true, options });
    if (words.values.help !== true) return words;
  } catch (error) {
    fail(`${(error as Error).message}\n${usage}`);
  }
  console.log(usage);
  process.exit();
}

function fail(message: string): never {
  console.error(`bench: ${message}`);
  process.exit(2);
}

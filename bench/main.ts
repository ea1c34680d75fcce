/**
 * `npm run bench [-- NAME ...]`: runs the benchmarks named, or all, and prints one JSON line per figure.
 * `npm run bench -- [NAME ...] --compare REVISION [--rounds N]`: runs them in turn with those of another revision and prints ratios.
 */
import { loadavg } from "node:os";
import { parseArgs } from "node:util";
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

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { compare: { type: "string" }, rounds: { type: "string", default: "3" } },
});
const all = values.compare === undefined ? { ...benchmarks, ...growth } : benchmarks;
const unknown = positionals.filter((name) => !Object.hasOwn(all, name));
const rounds = Number(values.rounds);
if (values.compare !== undefined && unknown.includes("growth")) fail("growth draws charts and has no figures to compare");
if (unknown.length > 0) fail(`unknown benchmark ${unknown.join(", ")}; there are ${Object.keys(all).join(", ")}`);
if (!Number.isInteger(rounds) || rounds < 1) fail(`--rounds takes a number from 1 on, not ${values.rounds}`);
const wanted = positionals.length > 0 ? positionals : Object.keys(benchmarks);
const print = (line: object) => console.log(JSON.stringify({ ...line, load: loadavg()[0] }));

await runProgram(async () => {
  await removeStaleClusters();
  CpuMeter.removeStale();
  if (values.compare !== undefined) return await compare(values.compare, wanted, rounds, print);
  for (const [name, benchmark] of Object.entries(all)) if (wanted.includes(name)) await benchmark(print);
});

function fail(message: string): never {
  console.error(`bench: ${message}`);
  process.exit(2);
}

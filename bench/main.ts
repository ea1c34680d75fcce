/** `npm run bench [-- NAME ...]`: runs the benchmarks named, or all, and prints one JSON line per figure. */
import { loadavg } from "node:os";
import { benchApi } from "./api.ts";
import { benchContainer } from "./container.ts";
import { benchExec } from "./exec.ts";
import { benchMemory } from "./memory.ts";
import { benchPodStart } from "./pod-start.ts";
import { benchPodsAtOnce } from "./pods-at-once.ts";
import { benchScheduler } from "./scheduler.ts";

const benchmarks = {
  api: benchApi,
  container: benchContainer,
  exec: benchExec,
  "pod-start": benchPodStart,
  "pods-at-once": benchPodsAtOnce,
  memory: benchMemory,
  scheduler: benchScheduler,
};

const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !Object.hasOwn(benchmarks, name));
if (unknown.length > 0) {
  console.error(`unknown benchmark ${unknown.join(", ")}; there are ${Object.keys(benchmarks).join(", ")}`);
  process.exit(2);
}
for (const [name, benchmark] of Object.entries(benchmarks)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  await benchmark((figure) => console.log(JSON.stringify({ ...figure, load: loadavg()[0] })));
}

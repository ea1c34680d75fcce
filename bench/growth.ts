/** How figures grow with what they depend on: the points of the charts in docs/performance.md, which draw.ts draws. */
import { setTimeout as delay } from "node:timers/promises";
import { withCluster } from "./dev-cluster.ts";
import { createPod, deletePod, PodWatch } from "./pods.ts";
import { residentMb } from "./process-usage.ts";
import { runLoad } from "./run-load.ts";

/** One line of a chart. */
export interface Series {
  readonly chart: "pod-start" | "memory" | "api-rate" | "list-time";
  readonly name: string;
  readonly points: readonly (readonly [x: number, y: number])[];
}

const STARTS = 100;
const PODS = [0, 20, 40, 60, 80, 100];
const SETTLE_MS = 5000;

export async function benchGrowth(print: (series: Series) => void): Promise<void> {
  await withCluster(1, async ({ api, pids }) => {
    const watch = await PodWatch.open(api);
    print(await startTimes(runPod));
    for (const series of await memoryByPods()) print(series);
    watch.close();

    async function runPod(name: string): Promise<number> {
      const running = watch.reaches(name, "Running");
      const startedMs = performance.now();
      await createPod(api, name);
      const tookMs = (await running) - startedMs;
      const gone = watch.reaches(name, "gone");
      await deletePod(api, name);
      await gone;
      return tookMs;
    }

    async function memoryByPods(): Promise<Series[]> {
      const parts = await pids();
      const points: { [part: string]: [number, number][] } = { "control plane": [], agent: [] };
      let running = 0;
      for (const wanted of PODS) {
        const names = Array.from({ length: wanted - running }, (_, i) => `memory-${running + i}`);
        const started = names.map((name) => watch.reaches(name, "Running"));
        await Promise.all(names.map((name) => createPod(api, name)));
        await Promise.all(started);
        running = wanted;
        // Not a wait for something: memory is looked at after the garbage of the start had time to go.
        await delay(SETTLE_MS);
        points["control plane"]?.push([wanted, Math.round(residentMb(parts.get("controlplane") ?? 0))]);
        points["agent"]?.push([wanted, Math.round(residentMb(parts.get("node-1 agent") ?? 0))]);
      }
      return Object.entries(points).map(([name, each]) => ({ chart: "memory", name, points: each }));
    }
  });
  await withCluster(1, async ({ kubeconfig }) => {
    for (const series of (await runLoad("growth-load.ts", [kubeconfig])) as Series[]) print(series);
  });
}

/** Percent of the pods that were Running after so many milliseconds. */
async function startTimes(runPod: (name: string) => Promise<number>): Promise<Series> {
  const samples: number[] = [];
  for (let i = -10; i < STARTS; i++) {
    const tookMs = await runPod(`start-${i + 10}`);
    if (i >= 0) samples.push(tookMs);
  }
  samples.sort((a, b) => a - b);
  return { chart: "pod-start", name: "pods", points: samples.map((ms, i) => [Math.round(ms * 10) / 10, ((i + 1) * 100) / STARTS]) };
}

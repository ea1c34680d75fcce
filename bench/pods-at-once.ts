/** Many pods at once on one node, to Running and to gone, and what that costs node and control plane in CPU time. */
import { withCluster } from "./dev-cluster.ts";
import { type Figure, summarize } from "./figure.ts";
import { createPod, deletePod, PodWatch } from "./pods.ts";
import { cgroupCpuMs } from "./process-usage.ts";

const PODS = 100;
const ROUNDS = 5;

export async function benchPodsAtOnce(print: (figure: Figure) => void): Promise<void> {
  await withCluster(1, async ({ api, pids }) => {
    const watch = await PodWatch.open(api);
    const running = await pids();
    // Each part's init lives in a cgroup of the part, whose parent holds all that the part started, pods too.
    const cpuMs = () => ({
      node: cgroupCpuMs(running.get("node-1"), "node-1"),
      plane: cgroupCpuMs(running.get("controlplane"), "controlplane"),
    });
    const figures = { start: [] as number[], end: [] as number[], node: [] as number[], plane: [] as number[] };
    for (let round = -1; round < ROUNDS; round++) {
      const names = Array.from({ length: PODS }, (_, i) => `bench-${round + 1}-${i}`);
      const before = cpuMs();
      const start = await rateOf(names, "Running", watch, async (name) => await createPod(api, name));
      const end = await rateOf(names, "gone", watch, async (name) => await deletePod(api, name));
      const after = cpuMs();
      // The first round warms up.
      if (round < 0) continue;
      figures.start.push(start);
      figures.end.push(end);
      figures.node.push((after.node - before.node) / PODS);
      figures.plane.push((after.plane - before.plane) / PODS);
    }
    watch.close();
    print(summarize(`${PODS} pods at once on one node to Running`, "pods/s", figures.start));
    print(summarize(`${PODS} pods deleted at once to gone`, "pods/s", figures.end));
    print(summarize("CPU of the node for a pod, start and removal", "ms", figures.node));
    print(summarize("CPU of the control plane with etcd and NATS for a pod", "ms", figures.plane));
  });
}

async function rateOf(
  names: readonly string[],
  state: string,
  watch: PodWatch,
  change: (name: string) => Promise<unknown>,
): Promise<number> {
  const reached = names.map((name) => watch.reaches(name, state));
  const startedMs = performance.now();
  await Promise.all(names.map(change));
  return (names.length * 1000) / (Math.max(...(await Promise.all(reached))) - startedMs);
}

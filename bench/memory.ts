/** Resident memory and idle CPU of the control plane, of an agent with and without pods, and of the shims. */
import { setTimeout as delay } from "node:timers/promises";
import { withCluster } from "./dev-cluster.ts";
import { type Figure, summarize } from "./figure.ts";
import { createPod, PodWatch } from "./pods.ts";
import { findProcesses, processCpuMs, residentMb, rollupKb } from "./process-usage.ts";

const PODS = 100;
const SETTLE_MS = 10_000;
const IDLE_MS = 20_000;

export async function benchMemory(print: (figure: Figure) => void): Promise<void> {
  await withCluster(1, async ({ api, pids }) => {
    const parts = await pids();
    const pidOf = (name: string) => {
      const pid = parts.get(name);
      if (pid === undefined) throw new Error(`${name} does not run`);
      return pid;
    };
    const [plane, etcd, nats, agent] = [pidOf("controlplane"), pidOf("etcd"), pidOf("nats-server"), pidOf("node-1 agent")];
    const printMemory = async (names: Readonly<Record<string, number>>) => {
      const samples = await sampleMemory(Object.values(names));
      for (const [i, name] of Object.keys(names).entries()) print(summarize(`resident memory: ${name}`, "MB", samples[i] ?? []));
    };
    const printIdle = async (names: Readonly<Record<string, number>>) => {
      const before = Object.values(names).map(processCpuMs);
      const startedMs = performance.now();
      await delay(IDLE_MS);
      const elapsedMs = performance.now() - startedMs;
      for (const [i, [name, pid]] of Object.entries(names).entries()) {
        print(summarize(`idle CPU: ${name}`, "% of a core", [((processCpuMs(pid) - (before[i] ?? 0)) * 100) / elapsedMs]));
      }
    };

    await delay(SETTLE_MS);
    await printMemory({ "control plane, idle": plane, "etcd, idle": etcd, "nats-server, idle": nats, "agent, idle": agent });
    await printIdle({ "control plane": plane, "etcd of an idle cluster": etcd, "agent without pods": agent });

    const watch = await PodWatch.open(api);
    const names = Array.from({ length: PODS }, (_, i) => `bench-${i}`);
    const running = names.map((name) => watch.reaches(name, "Running"));
    const created = await Promise.all(names.map(async (name) => await createPod(api, name)));
    await Promise.all(running);
    watch.close();
    const uids = new Set(created.map(({ metadata }) => metadata.uid));

    await delay(SETTLE_MS);
    await printMemory({ [`control plane, ${PODS} pods`]: plane, [`agent, ${PODS} pods`]: agent });
    const shims = findProcesses((argv) =>
      argv[0] === "tessera-shim" && argv[1] === "--id" && uids.has(argv[2] ?? "") ? argv[2] : undefined,
    );
    if (shims.size !== PODS) throw new Error(`found ${shims.size} shims of ${PODS} pods`);
    const rollups = [...shims.values()].map(rollupKb);
    print(
      summarize(
        "shim's own memory (Private_Dirty)",
        "KB",
        rollups.map(({ privateDirty }) => privateDirty),
      ),
    );
    print(
      summarize(
        "shim's share of memory (Pss)",
        "KB",
        rollups.map(({ pss }) => pss),
      ),
    );
    await printIdle({ [`control plane, ${PODS} pods`]: plane, [`agent, ${PODS} pods`]: agent });
  });
}

/** Ten looks within five seconds, by process. */
async function sampleMemory(pids: readonly number[]): Promise<number[][]> {
  const samples: number[][] = pids.map(() => []);
  for (let look = 0; look < 10; look++) {
    for (const [i, pid] of pids.entries()) samples[i]?.push(residentMb(pid));
    await delay(500);
  }
  return samples;
}

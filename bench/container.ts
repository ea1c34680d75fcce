/** One container from a prepared root folder to its exit, with network, against crun without network and against the bare system calls. */

import { join } from "node:path";
import { findCrun, makeBundle, type Round, runFloor } from "./baselines.ts";
import { type Figure, summarize } from "./figure.ts";
import { RuntimeNode } from "./runtime-node.ts";

const ROUNDS = 24;
const COUNT = 40;

export async function benchContainer(print: (figure: Figure) => void): Promise<void> {
  const crun = await findCrun();
  await RuntimeNode.with(async (node) => {
    const bundle = await makeBundle(crun, join(node.folder, "bundle"), node.image, `${node.meter.name}/crun`, ["/bin/true"]);
    const state = ["--root", join(node.memory, "crun"), "--cgroup-manager", "cgroupfs"];
    const own: number[] = [];
    const runners: Readonly<Record<string, () => Promise<Round>>> = {
      tessera: async () => {
        const round = await node.run("containers", COUNT);
        own.push(round.ownCpuMs);
        return round;
      },
      crun: () => runFloor(node.floor, node.meter, COUNT, ["run", crun, ...state, "run", "--bundle", bundle, "bench"]),
      floor: () => runFloor(node.floor, node.meter, COUNT, ["namespaces"]),
    };
    const rounds = await alternate(runners, ROUNDS);
    const cpu = (name: string) => (rounds.get(name) ?? []).map(({ cpuMs }) => cpuMs);
    const wall = (name: string) => (rounds.get(name) ?? []).flatMap(({ wallMs }) => wallMs);
    const what = "container to exited and removed, with network: CPU of all processes";
    print(summarize(what, "ms", cpu("tessera"), { name: "crun run, without network", samples: cpu("crun") }));
    print(summarize(what, "ms", cpu("tessera"), { name: "clone of six namespaces, exec, wait", samples: cpu("floor") }));
    print(summarize("container, the agent's process of that", "ms", own.slice(1)));
    print(summarize("crun run, without network: CPU of all processes", "ms", cpu("crun")));
    print(summarize("clone of six namespaces, exec, wait: CPU of all processes", "ms", cpu("floor")));
    print(
      summarize("container to exited, with network", "ms", wall("tessera"), { name: "crun run, without network", samples: wall("crun") }),
    );
  });
}

/** Runs all in turn, so that they share what else the machine does; the first round warms up and is not kept. */
export async function alternate(runners: Readonly<Record<string, () => Promise<Round>>>, rounds: number): Promise<Map<string, Round[]>> {
  const results = new Map<string, Round[]>(Object.keys(runners).map((name) => [name, []]));
  for (let round = -1; round < rounds; round++) {
    for (const [name, run] of Object.entries(runners)) {
      const result = await run();
      if (round >= 0) results.get(name)?.push(result);
    }
  }
  return results;
}

/** `/bin/true` in a running container: through the whole API, and in the agent's runtime alone against `crun exec`. */
import { join } from "node:path";
import { findCrun, makeBundle, runFloor } from "./baselines.ts";
import { alternate } from "./container.ts";
import { withCluster } from "./dev-cluster.ts";
import { type Figure, summarize } from "./figure.ts";
import { createPod, PodWatch, podsPath } from "./pods.ts";
import { RuntimeNode } from "./runtime-node.ts";

const API_COUNT = 200;
const ROUNDS = 6;
const COUNT = 40;

export async function benchExec(print: (figure: Figure) => void): Promise<void> {
  await benchExecInAgent(print);
  await benchExecInApi(print);
}

async function benchExecInApi(print: (figure: Figure) => void): Promise<void> {
  await withCluster(1, async ({ api }) => {
    const watch = await PodWatch.open(api);
    const running = watch.reaches("bench", "Running");
    await createPod(api, "bench");
    await running;
    watch.close();
    const wallMs = { reused: [] as number[], fresh: [] as number[] };
    for (let i = -20; i < API_COUNT; i++) {
      for (const how of ["reused", "fresh"] as const) {
        // A WebSocket takes its connection along when it ends: "reused" is one that another request left open.
        if (how === "reused") await api.request("GET", "/version");
        else api.closeIdle();
        const startedMs = performance.now();
        await api.exec(`${podsPath}/bench`, ["/bin/true"]);
        if (i >= 0) wallMs[how].push(performance.now() - startedMs);
      }
    }
    print(summarize("exec of /bin/true through the API, connection reused", "ms", wallMs.reused));
    print(summarize("exec of /bin/true through the API, connection of its own", "ms", wallMs.fresh));
  });
}

async function benchExecInAgent(print: (figure: Figure) => void): Promise<void> {
  const crun = await findCrun();
  await RuntimeNode.with(async (node) => {
    const bundle = await makeBundle(crun, join(node.folder, "bundle"), node.image, `${node.meter.name}/crun`, ["/bin/sleep", "100000"]);
    const command = [crun, "--root", join(node.memory, "crun"), "--cgroup-manager", "cgroupfs"];
    // Its process is in the meter's cgroup, and ends with it.
    await runFloor(node.floor, node.meter, 1, ["run", ...command, "run", "--detach", "--bundle", bundle, "bench"]);
    const rounds = await alternate(
      {
        tessera: () => node.run("execs", COUNT),
        crun: () => runFloor(node.floor, node.meter, COUNT, ["run", ...command, "exec", "bench", "/bin/true"]),
      },
      ROUNDS,
    );
    const wall = (name: string) => (rounds.get(name) ?? []).flatMap(({ wallMs }) => wallMs);
    const cpu = (name: string) => (rounds.get(name) ?? []).map(({ cpuMs }) => cpuMs);
    print(summarize("exec of /bin/true in the agent alone", "ms", wall("tessera"), { name: "crun exec", samples: wall("crun") }));
    print(
      summarize("exec of /bin/true in the agent alone: CPU of all processes", "ms", cpu("tessera"), {
        name: "crun exec",
        samples: cpu("crun"),
      }),
    );
  });
}

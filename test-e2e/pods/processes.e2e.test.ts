import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { clusterParts, exampleImage, until } from "../harness/cluster.ts";
import { loadImage } from "../harness/image.ts";
import { type ContainerView, type Scenario, scenario, shellPod } from "../harness/scenario.ts";

const allProcesses = "for p in /proc/[0-9]*; do echo $(tr '\\0' ' ' < $p/cmdline); done";

async function containers(cluster: Scenario, pod: string): Promise<Record<string, ContainerView>> {
  const statuses = (await cluster.getPod(pod)).status.containerStatuses ?? [];
  return Object.fromEntries(statuses.map((status) => [status.name, status]));
}

async function shell(cluster: Scenario, pod: string, container: string, script: string): Promise<string> {
  return await cluster.kubectlOk(["exec", pod, "-c", container, "--", "sh", "-c", script]);
}

/** The process on this machine that runs this command line in a cgroup of the pod. */
function findProcess(uid: string, commandLine: string): number {
  for (const pid of readdirSync("/proc").filter((name) => /^\d+$/.test(name))) {
    try {
      if (readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim() !== commandLine) continue;
      if (readFileSync(`/proc/${pid}/cgroup`, "utf8").includes(uid)) return Number(pid);
    } catch {
      // Gone between the two looks.
    }
  }
  return assert.fail(`no process "${commandLine}" of pod ${uid}`);
}

scenario(
  "shareProcessNamespace: one container ends without the others, all end with the first process, the agent's end is not felt",
  async (cluster) => {
    const helper = { name: "helper", image: exampleImage, command: ["sleep", "2002"] };
    const main = { name: "main", image: exampleImage, command: ["sleep", "1001"] };
    const spec = { shareProcessNamespace: true, nodeName: "node-1", containers: [main, helper] };
    await cluster.apply(shellPod("shared", "", { pod: spec }));
    await cluster.waitReady("shared");
    const before = await containers(cluster, "shared");
    const seen = (await shell(cluster, "shared", "helper", allProcesses)).split("\n");
    assert.equal(seen[0], "pause");
    assert.ok(seen.includes("sleep 1001") && seen.includes("sleep 2002"), seen.join("\n"));

    await shell(cluster, "shared", "main", "kill -TERM $(ps -o pid,args | awk '/[s]leep 2002/ {print $1}')");
    const restarted = await until("the restart of one container", async () => {
      const now = await containers(cluster, "shared");
      return now["helper"]?.restartCount === 1 && now["helper"].ready ? now : undefined;
    });
    assert.equal(restarted["helper"]?.lastState?.terminated?.exitCode, 143);
    assert.equal(restarted["main"]?.containerID, before["main"]?.containerID);

    const agent = (await clusterParts()).find(({ name }) => name === "node-1 agent");
    assert.ok(agent?.pid);
    process.kill(agent.pid, "SIGKILL");
    await until("the next agent serves an exec", async () => {
      const { code, stdout } = await cluster.kubectl(["exec", "shared", "-c", "helper", "--", "sh", "-c", allProcesses]);
      return code === 0 && stdout.includes("sleep 1001") ? true : undefined;
    });
    assert.equal((await containers(cluster, "shared"))["main"]?.containerID, before["main"]?.containerID);

    const { uid } = (await cluster.getPod("shared")).metadata;
    process.kill(findProcess(uid, "pause"), "SIGKILL");
    const again = await until("a container to run in a new sandbox", async () => {
      const now = await containers(cluster, "shared");
      return now["main"]?.restartCount === 1 && now["main"].ready ? now : undefined;
    });
    assert.equal(again["main"]?.lastState?.terminated?.exitCode, 137);
    assert.match(await shell(cluster, "shared", "main", allProcesses), /^pause\n[\s\S]*sleep 1001/);
  },
);

scenario(
  "tessera.dev/init: a container that makes orphans has no zombies with it; one without keeps them within the pod's limit",
  async (cluster) => {
    const orphans = "for i in 1 2 3; do (sh -c 'until test -e /go; do sleep 0.05; done' &); done; touch /made; exec sleep 1000";
    const container = (name: string) => ({ name, image: exampleImage, command: ["sh", "-c", orphans] });
    const pod = shellPod("orphans", "", { pod: { containers: [container("reaped"), container("plain")] } }) as { metadata: object };
    await cluster.apply({ ...pod, metadata: { ...pod.metadata, annotations: { "tessera.dev/init": "reaped" } } });
    await cluster.waitReady("orphans");
    const zombies = (name: string) => shell(cluster, "orphans", name, "cat /proc/[0-9]*/stat | sed 's/.*) //' | grep -c ^Z; true");
    for (const name of ["reaped", "plain"])
      await until(`the orphans of ${name}`, async () => {
        const { stdout } = await cluster.kubectl([
          "exec",
          "orphans",
          "-c",
          name,
          "--",
          "sh",
          "-c",
          "test -e /made && touch /go && echo gone",
        ]);
        return stdout === "gone\n" ? true : undefined;
      });
    await until("zombies below a command that reaps none", async () => ((await zombies("plain")) === "3\n" ? true : undefined));
    await until("all orphans to be reaped by the init", async () =>
      (await shell(cluster, "orphans", "reaped", "cat /proc/[0-9]*/comm | grep -cx sh")) === "1\n" ? true : undefined,
    );
    assert.equal(await zombies("reaped"), "0\n");
    assert.equal(await shell(cluster, "orphans", "reaped", "cat /proc/1/comm"), "tessera-init\n");
    // The pod's limit is above the container's cgroup, which is all that the container sees: on the node.
    const { uid } = (await cluster.getPod("orphans")).metadata;
    const [, path] = /:pids:(\/\S*pod\S*)\//.exec(readFileSync(`/proc/${findProcess(uid, "sleep 1000")}/cgroup`, "utf8")) ?? [];
    assert.equal(readFileSync(`/sys/fs/cgroup/pids${path}/pids.max`, "utf8"), "4096\n");

    const refused = await cluster.kubectl(["annotate", "pod", "orphans", "--overwrite", "tessera.dev/init=nobody"]);
    assert.notEqual(refused.code, 0);
    assert.match(refused.stderr, /tessera\.dev\/init.*names of the pod's containers \(reaped, plain\)/);
  },
);

scenario("the stop signal is the lifecycle's, else the image's, and the status says which", async (cluster) => {
  await loadImage("tessera.local/stops-with-quit:1", { StopSignal: "SIGQUIT" }, () => {});
  const script = 'for s in TERM QUIT USR1; do trap "echo got $s; exit 0" $s; done; echo ready; while :; do sleep 0.05; done';
  const container = (name: string, image: string, more = {}) => ({ name, image, command: ["sh", "-c", script], ...more });
  const images = [exampleImage, "tessera.local/stops-with-quit:1"] as const;
  const containers = [
    container("plain", images[0]),
    container("of-image", images[1]),
    container("of-pod", images[1], { lifecycle: { stopSignal: "SIGUSR1" } }),
  ];
  await cluster.apply(shellPod("signals", "", { pod: { os: { name: "linux" }, terminationGracePeriodSeconds: 30, containers } }));
  await cluster.waitReady("signals");
  const { containerStatuses = [] } = (await cluster.getPod("signals")).status;
  const shown = Object.fromEntries(containerStatuses.map(({ name, stopSignal }) => [name, stopSignal]));
  assert.deepEqual(shown, { plain: "SIGTERM", "of-image": "SIGQUIT", "of-pod": "SIGUSR1" });
  const followed = await Promise.all(
    containers.map(async ({ name }) => {
      const ready = Promise.withResolvers<void>();
      const log = cluster.kubectl(["logs", "-f", "signals", "-c", name], { onStdout: (text) => text.includes("ready") && ready.resolve() });
      await Promise.race([ready.promise, log]);
      return { log };
    }),
  );
  await cluster.kubectlOk(["delete", "pod", "signals"]);
  const logs = await Promise.all(followed.map(async ({ log }) => (await log).stdout));
  assert.deepEqual(logs, ["ready\ngot TERM\n", "ready\ngot QUIT\n", "ready\ngot USR1\n"]);
});

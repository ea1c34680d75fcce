import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { clusterParts, exampleImage, until } from "../harness/cluster.ts";
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

import assert from "node:assert/strict";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { clusterParts, exampleImage, until } from "../harness/cluster.ts";
import { type ContainerView, type Scenario, scenario, shellPod } from "../harness/scenario.ts";

/** The parts whose sudden death is survived, as `tsctl dev status` names them. */
const victims = ["controlplane", "etcd", "nats-server", "node-1 agent"] as const;

async function pidOf(part: string): Promise<number> {
  const parts = await clusterParts();
  const found = parts.find(({ name }) => name === part);
  assert.ok(found?.pid, `${part} has a pid; there are ${parts.map(({ name }) => name).join(", ")}`);
  return found.pid;
}

async function kill(part: string): Promise<void> {
  process.kill(await pidOf(part), "SIGKILL");
}

async function apiAnswers(cluster: Scenario): Promise<void> {
  await until(
    "the API to answer",
    async () => ((await cluster.kubectl(["get", "namespace", "default", "--request-timeout=3s"])).code === 0 ? true : undefined),
    60_000,
  );
}

async function containerIds(cluster: Scenario, names: readonly string[]): Promise<(string | undefined)[]> {
  return await Promise.all(names.map(async (name) => (await cluster.getPod(name)).status.containerStatuses?.[0]?.containerID));
}

for (const victim of victims) {
  scenario(`kill -9 of ${victim}: running pods do not notice, and new ones run afterwards`, async (cluster) => {
    const names = ["old-1", "old-2"];
    await cluster.apply(
      ...names.map((name) => shellPod(name, "while :; do echo alive; sleep 0.05; done", { pod: { nodeName: "node-1" } })),
    );
    await cluster.waitReady(...names);
    const before = await containerIds(cluster, names);
    await kill(victim);
    await apiAnswers(cluster);
    await cluster.apply(shellPod("new", "exec sleep 1000", { pod: { nodeName: "node-1" } }));
    await cluster.kubectlOk(["wait", "--for=condition=Ready", "--timeout=60s", "pod/new", "pod/old-1", "pod/old-2"], { timeoutMs: 70_000 });
    assert.deepEqual(await containerIds(cluster, names), before, "no container was restarted");
    for (const name of names) assert.equal((await cluster.getPod(name)).status.containerStatuses?.[0]?.restartCount, 0);
    const lines = (await cluster.kubectlOk(["logs", "--timestamps", "old-1"])).trim().split("\n");
    const times = lines.map((line) => Date.parse(line.split(" ")[0] ?? ""));
    const gaps = times.slice(1).map((time, i) => time - (times[i] ?? time));
    assert.ok(Math.max(...gaps) < 5_000, `the container ran on: longest gap ${Math.max(...gaps)} ms`);
  });

  scenario(`kill -9 of ${victim} while pods are created and deleted: each runs once, or is gone`, async (cluster) => {
    const name = (i: number) => `p${i}`;
    const all = Array.from({ length: 12 }, (_, i) => i);
    const old = all.slice(0, 6);
    await cluster.apply(...old.map((i) => shellPod(name(i), "exec sleep 1000", { pod: { nodeName: "node-1" } })));
    await cluster.waitReady(...old.map(name));
    const busy = Promise.all([
      cluster.kubectl(["delete", "pod", ...old.map(name), "--grace-period=1", "--wait=false"]),
      ...all.slice(6).map((i) =>
        cluster.kubectl(["apply", "-f", "-"], {
          input: JSON.stringify(shellPod(name(i), "exec sleep 1000", { pod: { nodeName: "node-1" } })),
        }),
      ),
    ]);
    await kill(victim);
    await busy;
    await apiAnswers(cluster);
    // A caller whose request was cut off asks again, as people do.
    await cluster.kubectlOk(["delete", "pod", ...old.map(name), "--grace-period=1", "--ignore-not-found", "--timeout=60s"], {
      timeoutMs: 70_000,
    });
    await cluster.apply(...all.slice(6).map((i) => shellPod(name(i), "exec sleep 1000", { pod: { nodeName: "node-1" } })));
    await cluster.kubectlOk(["wait", "--for=condition=Ready", "--timeout=60s", ...all.slice(6).map((i) => `pod/${name(i)}`)], {
      timeoutMs: 70_000,
    });
    assert.equal((await cluster.kubectlOk(["get", "pods", "-o", "name"])).trim().split("\n").length, 6);
  });
}

scenario("kill -9 of a pod's shim: its containers end, and the pod runs again", async (cluster) => {
  await cluster.apply(shellPod("orphan", "exec sleep 1000", { pod: { nodeName: "node-1" } }));
  await cluster.waitReady("orphan");
  const { metadata } = await cluster.getPod("orphan");
  const [before] = await containerIds(cluster, ["orphan"]);
  const agent = await pidOf("node-1 agent");
  process.kill(findShim(agent, metadata.uid), "SIGKILL");
  await until("another container", async () => {
    const [now] = await containerIds(cluster, ["orphan"]);
    return now !== undefined && now !== before ? true : undefined;
  });
  await cluster.waitReady("orphan");
  assert.equal((await cluster.kubectlOk(["exec", "orphan", "--", "sh", "-c", "ps | grep -c '[s]leep 1000'"])).trim(), "1");
});

/** A pod with a sidecar and, put in while it runs, an ephemeral container. */
async function podWithCompany(cluster: Scenario, name: string): Promise<void> {
  const sidecar = { name: "sidecar", image: exampleImage, restartPolicy: "Always", command: ["sh", "-c", "exec sleep 1001"] };
  await cluster.apply(shellPod(name, "exec sleep 1002", { pod: { nodeName: "node-1", initContainers: [sidecar] } }));
  await cluster.waitReady(name);
  await debug(cluster, name, "guest");
}

/** Puts a container into the pod and waits until it runs. */
async function debug(cluster: Scenario, pod: string, name: string): Promise<void> {
  const options = ["--profile=general", `--image=${exampleImage}`, "--image-pull-policy=IfNotPresent", "--quiet"];
  await cluster.kubectlOk(["debug", pod, "-c", name, ...options, "--", "sleep", "1003"]);
  await until(`${name} runs`, async () => {
    const found = (await company(cluster, pod)).find((container) => container.name === name);
    return found?.state.running === undefined ? undefined : true;
  });
}

/** All containers of the pod, with the id of each. */
async function company(cluster: Scenario, pod: string): Promise<ContainerView[]> {
  const { initContainerStatuses = [], containerStatuses = [], ephemeralContainerStatuses = [] } = (await cluster.getPod(pod)).status;
  return [...initContainerStatuses, ...containerStatuses, ...ephemeralContainerStatuses];
}

scenario("kill -9 of an agent: sidecars and ephemeral containers do not notice, and another one can come", async (cluster) => {
  await podWithCompany(cluster, "host");
  const ids = async () =>
    (await company(cluster, "host")).map(({ name, containerID, restartCount }) => ({ name, containerID, restartCount }));
  const before = await ids();
  assert.deepEqual(
    before.map(({ name, restartCount }) => [name, restartCount]),
    [
      ["sidecar", 0],
      ["main", 0],
      ["guest", 0],
    ],
  );
  await kill("node-1 agent");
  // The next agent may be asked for it before it has found its pods again.
  await debug(cluster, "host", "late");
  assert.deepEqual((await ids()).slice(0, 3), before);
  for (const { name } of before) {
    const ps = await cluster.kubectlOk(["exec", "host", "-c", name, "--", "ps"]);
    assert.equal(ps.match(/ sleep 100\d$/gm)?.length, 1, ps);
  }
});

scenario("kill -9 of a shim: the sidecar runs again, an ephemeral container has run once", async (cluster) => {
  await podWithCompany(cluster, "host");
  const before = new Map((await company(cluster, "host")).map(({ name, containerID }) => [name, containerID]));
  process.kill(findShim(await pidOf("node-1 agent"), (await cluster.getPod("host")).metadata.uid), "SIGKILL");
  const after = await until("sidecar and main run anew", async () => {
    const containers = await company(cluster, "host");
    const isNew = ({ name, containerID, state }: ContainerView) => state.running !== undefined && containerID !== before.get(name);
    return containers.filter(({ name }) => name !== "guest").every(isNew) ? containers : undefined;
  });
  const guest = after.find(({ name }) => name === "guest");
  assert.deepEqual(
    [guest?.containerID, guest?.restartCount, guest?.state.terminated?.reason, guest?.state.terminated?.exitCode],
    [before.get("guest"), 0, "ContainerStatusUnknown", 137],
  );
  await cluster.waitReady("host");
  await debug(cluster, "host", "late");
  const last = (await company(cluster, "host")).find(({ name }) => name === "guest");
  assert.deepEqual(last, guest, "it was not run again");
});

scenario("kill -9 of shims while pods are created and deleted: each runs once, or is gone", async (cluster) => {
  const old = ["old-1", "old-2", "old-3"];
  const fresh = ["new-1", "new-2", "new-3", "new-4", "new-5"];
  const make = (names: readonly string[]) =>
    cluster.apply(...names.map((name) => shellPod(name, "exec sleep 1000", { pod: { nodeName: "node-1" } })));
  await make(old);
  await cluster.waitReady(...old);
  const agent = await pidOf("node-1 agent");
  let isBusy = true;
  const busy = Promise.all([
    make(fresh),
    cluster.kubectlOk(["delete", "pod", ...old, "--grace-period=1", "--timeout=60s"], { timeoutMs: 70_000 }),
  ]).finally(() => {
    isBusy = false;
  });
  // Whichever comes up, at whatever it is just then; not so often that back-offs grow long.
  const killed = new Set<number>();
  while (isBusy && killed.size < 8) {
    for (const pid of findShims(agent)) {
      if (killed.has(pid) || killed.size >= 8) continue;
      if (killShim(pid)) killed.add(pid);
    }
    await new Promise((resume) => setTimeout(resume, 5));
  }
  await busy;
  assert.ok(killed.size > 0);
  await cluster.kubectlOk(["wait", "--for=condition=Ready", "--timeout=90s", ...fresh.map((name) => `pod/${name}`)], {
    timeoutMs: 100_000,
  });
  for (const name of fresh)
    assert.equal((await cluster.kubectlOk(["exec", name, "--", "sh", "-c", "ps | grep -c '[s]leep 1000'"])).trim(), "1");
});

/** Whether it was there to be killed; it may have ended since it was found. */
function killShim(pid: number): boolean {
  try {
    return process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
    throw error;
  }
}

/** The shim of a pod by its command line, among the processes of the agent's PID namespace. */
function findShim(agentPid: number, podUid: string): number {
  const [pid] = findShims(agentPid, podUid);
  if (pid === undefined) throw new Error(`no shim of pod ${podUid} beside agent ${agentPid}`);
  return pid;
}

function findShims(agentPid: number, word = ""): number[] {
  const namespace = pidNamespace(agentPid);
  return processIds().filter((pid) => {
    try {
      const command = readFileSync(`/proc/${pid}/cmdline`, "utf8");
      return command.startsWith("tessera-shim") && command.includes(word) && pidNamespace(pid) === namespace;
    } catch {
      // The process ended while it was looked at.
      return false;
    }
  });
}

function pidNamespace(pid: number): string {
  return readlinkSync(`/proc/${pid}/ns/pid`);
}

function processIds(): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

scenario("tsctl logs -f goes on through kill -9 of control plane and agent, and loses and doubles no line", async (cluster) => {
  const count = 400;
  const script = `i=0; while [ $i -lt ${count} ]; do i=$((i+1)); echo $i; sleep 0.03; done`;
  await cluster.apply(shellPod("counts", script, { pod: { nodeName: "node-1", restartPolicy: "Never" } }));
  await cluster.waitReady("counts");
  let shown = 0;
  const kills: Promise<void>[] = [];
  const killAt = new Map([
    [30, "controlplane"],
    [200, "node-1 agent"],
  ]);
  const { code, stdout } = await cluster.tsctl(["logs", "-f", "counts"], {
    timeoutMs: 90_000,
    onStdout: (text) => {
      shown += text.split("\n").length - 1;
      for (const [line, victim] of killAt) {
        if (shown < line) continue;
        killAt.delete(line);
        kills.push(kill(victim));
      }
    },
  });
  await Promise.all(kills);
  assert.deepEqual([code, killAt.size], [0, 0]);
  assert.deepEqual(
    stdout.trim().split("\n").map(Number),
    Array.from({ length: count }, (_, i) => i + 1),
  );
  await apiAnswers(cluster);
});

/**
 * The real agent with the real runtime and network, below a control plane that only speaks the protocol, on a machine whose only cgroup
 * hierarchy is v2. This process, and with it the agent, is a service with a cgroup of its own, as under systemd.
 */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { text } from "node:stream/consumers";
import { after, before, test } from "node:test";
import type { ContainerStatus, NodeStatus, PodSpec } from "@tessera/proto";
import { TEST_NODE, until } from "../../../agent/src/pod/testing/harness.ts";
import { deleted, pod } from "../../../agent/src/pod/testing/pod-builder.ts";
import { collect } from "../../../agent/src/session/fake-control-plane.ts";
import { IMAGE, NativeNode } from "../../../agent/src/testing/native-node.ts";

const service = "/sys/fs/cgroup/services/agent";
const patienceMs = 90_000;
let node: NativeNode;

before(async () => {
  mkdirSync(service, { recursive: true });
  writeFileSync(`${service}/cgroup.procs`, String(process.pid));
  // An agent counts the pages that are there when it starts.
  writeFileSync("/proc/sys/vm/nr_hugepages", "8");
  node = await NativeNode.make();
  await node.startAgent();
});
after(async () => {
  await node.stopAgent();
  await node.close();
});

function assign(name: string, script: string, limits: Record<string, string>, annotations: Record<string, string> = {}): void {
  const spec: PodSpec = {
    restartPolicy: "Never",
    containers: [{ name: "main", image: IMAGE, command: ["sh", "-c", script], resources: { limits, requests: limits } }],
  };
  node.controlPlane.assign(pod(name, spec, { annotations }));
}

const status = (name: string) => node.statuses(`uid-${name}`).at(-1);
const main = (name: string) => status(name)?.containerStatuses?.[0];

async function reaches(name: string, holds: (container: ContainerStatus) => boolean): Promise<void> {
  await until(
    () => holds(main(name) ?? {}),
    () => [node.statuses(`uid-${name}`), node.controlPlane.of("event")],
    patienceMs,
  );
}

async function remove(name: string): Promise<void> {
  node.controlPlane.assign(deleted(pod(name), 0));
  const items = async () => (await node.inventory()).filter(({ podUid }) => podUid === `uid-${name}`);
  await until(async () => node.controlPlane.of("podGone").some(({ uid }) => uid === `uid-${name}`), items, patienceMs);
  // The kernel takes a device down some time after its namespace has gone.
  await until(async () => (await items()).length === 0, items, patienceMs);
}

async function logOf(name: string): Promise<string> {
  const request = { podUid: `uid-${name}`, container: "main", follow: false, previous: false, timestamps: false, sinceTime: "" };
  return (await collect(await node.controlPlane.open({ $case: "log", value: request }))).stdout;
}

/** Waits until that is the container's whole log: it has started before it has said anything. */
async function logs(name: string, text: string): Promise<void> {
  await until(
    async () => (await logOf(name)) === text,
    () => logOf(name),
    patienceMs,
  );
}

async function exec(name: string, ...command: string[]): Promise<string> {
  const request = { podUid: `uid-${name}`, container: "main", command, stdin: false, stdout: true, stderr: true, tty: false };
  return (await collect(await node.controlPlane.open({ $case: "exec", value: request }))).stdout;
}

/** What who listens on a port of the node writes, or why nobody does. */
async function ask(port: number): Promise<string> {
  try {
    return await text(connect({ host: "192.0.2.1", port, timeout: patienceMs }));
  } catch (error) {
    return String(error);
  }
}

/** The cgroups of pods, wherever the agent made its root. */
function podCgroups(): string[] {
  const [root = ""] = readdirSync("/sys/fs/cgroup").filter((name) => name.startsWith("tessera-agent-test-"));
  const names = readdirSync(`/sys/fs/cgroup/${root}`).filter((name) => name.startsWith("pod"));
  return names.map((name) => `/sys/fs/cgroup/${root}/${name}`);
}

test("a pod runs with the limits that it asked for, is reached, and outlives its agent", async () => {
  const script = "cd /sys/fs/cgroup; cat memory.max memory.swap.max cpu.max cpuset.cpus; ulimit -n; exec sleep 100000";
  const limits = { cpu: "500m", memory: "64Mi" };
  assign("limited", script, limits, {
    "tessera.dev/ulimits": "nofile=77",
    "tessera.dev/cpuset-cpus": "1",
    "tessera.dev/device-write-bps": "/dev/vda:1Mi",
  });
  await reaches("limited", ({ ready }) => ready === true);
  const before = main("limited");
  await logs("limited", "67108864\n0\n50000 100000\n1\n77\n");
  assert.equal(await exec("limited", "sh", "-c", "cat /proc/self/cgroup; ulimit -n"), "0::/\n77\n");
  assert.match(await exec("limited", "cat", "/sys/fs/cgroup/io.max"), /^\d+:0 rbps=max wbps=1048576 riops=max wiops=max\n$/);
  const [cgroup = ""] = podCgroups();
  assert.equal(readFileSync(`${cgroup}/memory.max`, "utf8"), "67108864\n");
  assert.equal(readFileSync(`${cgroup}/pids.max`, "utf8"), `${TEST_NODE.podPidsLimit}\n`);
  // What a service manager kills with the agent: nothing of the pod is among it.
  assert.equal(readFileSync(`${service}/cgroup.procs`, "utf8"), `${process.pid}\n`);
  await node.stopAgent();
  assert.match(readFileSync(`${cgroup}/cgroup.events`, "utf8"), /populated 1/);
  await node.startAgent();
  assert.equal(await exec("limited", "echo", "still here"), "still here\n");
  assert.deepEqual(main("limited"), before);
  await remove("limited");
  assert.ok(!existsSync(cgroup));
});

test("a port of the node leads to its pod, until the pod has gone", async () => {
  const spec: PodSpec = {
    containers: [
      {
        name: "main",
        image: IMAGE,
        command: ["sh", "-c", "while :; do echo reached | nc -l -p 80; done"],
        ports: [{ containerPort: 80, hostPort: 8081 }],
      },
    ],
  };
  node.controlPlane.assign(pod("open", spec));
  await reaches("open", ({ ready }) => ready === true);
  // It is running before it listens.
  await until(
    async () => (await ask(8081)) === "reached\n",
    () => ask(8081),
    patienceMs,
  );
  await remove("open");
  assert.match(await ask(8081), /ECONNREFUSED/);
});

test("a container over its memory limit is told as OOMKilled", async () => {
  assign("hungry", "tail -c 200m /dev/zero", { memory: "16Mi" });
  await reaches("hungry", ({ state }) => state?.terminated !== undefined);
  const { reason, exitCode } = main("hungry")?.state?.terminated ?? {};
  assert.deepEqual({ reason, exitCode }, { reason: "OOMKilled", exitCode: 137 });
  await remove("hungry");
});

test("a pod has the huge pages of its limits, also as a volume, and the node counts them", async () => {
  const capacity = () => node.controlPlane.of("hello").map(({ nodeStatus }) => (JSON.parse(nodeStatus.toString()) as NodeStatus).capacity);
  assert.equal(capacity().at(-1)?.["hugepages-2Mi"], "16Mi");
  const limits = { "hugepages-2Mi": "4Mi", memory: "64Mi" };
  const script = [
    "cat /sys/fs/cgroup/hugetlb.2MB.max",
    "grep -o ' /pages hugetlbfs rw' /proc/mounts",
    "/probe/hugepages 2",
    "/probe/hugepages 3 2>/dev/null || echo refused",
    "exec sleep 100000",
  ].join("; ");
  const spec: PodSpec = {
    restartPolicy: "Never",
    volumes: [
      { name: "pages", emptyDir: { medium: "HugePages" } },
      { name: "probe", hostPath: { path: "/tessera/runtime-native/build/probe", type: "Directory" } },
    ],
    containers: [
      {
        name: "main",
        image: IMAGE,
        command: ["sh", "-c", script],
        resources: { limits, requests: limits },
        volumeMounts: [
          { name: "pages", mountPath: "/pages" },
          { name: "probe", mountPath: "/probe", readOnly: true },
        ],
      },
    ],
  };
  node.controlPlane.assign(pod("paged", spec));
  await reaches("paged", ({ ready }) => ready === true);
  await logs("paged", "4194304\n /pages hugetlbfs rw\n2\nrefused\n");
  // What it may have is promised to it, whether it uses it or not.
  assign("greedy", "true", { "hugepages-2Mi": "14Mi" });
  await until(
    () => status("greedy")?.phase === "Failed",
    () => node.statuses("uid-greedy"),
    patienceMs,
  );
  assert.equal(status("greedy")?.reason, "OutOfhugepages-2Mi");
  assert.match(status("greedy")?.message ?? "", /requested: 14680064, used: 4194304, capacity: 16777216$/);
  await remove("greedy");
  await remove("paged");
});

test("a pod stands still while its annotation says so", async () => {
  assign("paused", "sleep 100000", { memory: "16Mi" }, { "tessera.dev/paused": "true" });
  const condition = () => status("paused")?.conditions?.find(({ type }) => type === "tessera.dev/Paused")?.status;
  await until(
    () => condition() === "True",
    () => node.statuses("uid-paused"),
    patienceMs,
  );
  const [cgroup = ""] = podCgroups();
  assert.match(readFileSync(`${cgroup}/main_0/cgroup.events`, "utf8"), /frozen 1/);
  await remove("paused");
  assert.deepEqual(podCgroups(), []);
});

import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { HostPortTaken } from "@tessera/runtime-native";
import type { Pods } from "./pods.ts";
import { reportsOf, TestNode, until } from "./testing/harness.ts";
import { container, deleted, pod } from "./testing/pod-builder.ts";

describe("pods on a node", () => {
  let node: TestNode;
  let pods: Pods;
  beforeEach(async () => {
    node = await TestNode.make();
    pods = await node.agent();
  });
  afterEach(async () => {
    await pods.stop();
    await node.remove();
  });

  const { status, phase, main, seen, running } = reportsOf(() => node);

  it("runs a pod and reports once when it is up", async () => {
    pods.assign(pod("a"));
    await running("uid-a");
    assert.equal(node.reportCount.get("uid-a"), 1);
    assert.equal(status("uid-a")?.podIP, "10.64.1.2");
    assert.deepEqual(status("uid-a")?.hostIPs, [{ ip: "192.0.2.1" }]);
    assert.match(main("uid-a")?.containerID ?? "", /^tessera:\/\/[0-9a-f]{64}$/);
    const conditions = Object.fromEntries((status("uid-a")?.conditions ?? []).map((one) => [one.type, one.status]));
    assert.deepEqual(conditions, { PodReadyToStartContainers: "True", Initialized: "True", Ready: "True", ContainersReady: "True" });
    assert.deepEqual(
      node.events.map((event) => event.reason),
      ["Pulled", "Created", "Started"],
    );
  });

  it("stops containers with SIGTERM, then leaves nothing and says so", async () => {
    pods.assign(pod("a"));
    await running("uid-a");
    pods.assign(deleted(pod("a"), 30));
    await until(() => node.gone.has("uid-a"), seen);
    assert.equal(main("uid-a")?.state?.terminated?.exitCode, 143);
    assert.deepEqual(await node.leftovers(), []);
    assert.equal(pods.get("uid-a"), undefined);
  });

  it("kills what ignores SIGTERM when the grace is over", async () => {
    pods.assign(pod("a", { containers: [container("main", { command: ["ignore-signals"] })] }));
    await running("uid-a");
    pods.assign(deleted(pod("a"), 30));
    await until(() => node.events.some((event) => event.reason === "Killing"), seen);
    await until(() => pods.get("uid-a")?.state.busy.size === 0);
    node.clock.advance(29_000);
    assert.equal(node.gone.size, 0);
    node.clock.advance(1_000);
    await until(() => node.gone.has("uid-a"), seen);
    assert.equal(main("uid-a")?.state?.terminated?.exitCode, 137);
  });

  it("takes a shorter grace period from a second deletion, never a longer one", async () => {
    pods.assign(pod("a", { containers: [container("main", { command: ["ignore-signals"] })] }));
    await running("uid-a");
    pods.assign(deleted(pod("a"), 30));
    await until(() => node.events.some((event) => event.reason === "Killing"), seen);
    pods.assign(deleted(pod("a"), 3000));
    pods.assign(deleted(pod("a"), 5));
    await until(() => pods.get("uid-a")?.state.busy.size === 0);
    node.clock.advance(5_000);
    await until(() => node.gone.has("uid-a"), seen);
  });

  it("answers for a pod it never held: gone", async () => {
    pods.assign(deleted(pod("never"), 30));
    await until(() => node.gone.has("uid-never"), seen);
    assert.deepEqual(await node.leftovers(), []);
  });

  it("removes a pod whose object is gone at once, without grace", async () => {
    pods.assign(pod("a", { containers: [container("main", { command: ["ignore-signals"] })] }));
    await running("uid-a");
    pods.release("uid-a");
    await until(() => node.gone.has("uid-a"), seen);
    assert.deepEqual(await node.leftovers(), []);
  });

  it("restarts a container at once, then with growing delays, and shows CrashLoopBackOff with the last exit", async () => {
    pods.assign(pod("a", { containers: [container("main", { command: ["exit 3"] })] }));
    await until(() => main("uid-a")?.state?.waiting?.reason === "CrashLoopBackOff", seen);
    assert.equal(main("uid-a")?.restartCount, 1);
    assert.equal(main("uid-a")?.lastState?.terminated?.exitCode, 3);
    assert.equal(main("uid-a")?.lastState?.terminated?.reason, "Error");
    assert.match(main("uid-a")?.state?.waiting?.message ?? "", /^back-off 10s restarting failed container=main pod=a_default\(uid-a\)$/);
    assert.equal(phase("uid-a"), "Running");
    node.clock.advance(10_000);
    await until(() => main("uid-a")?.state?.waiting?.message?.startsWith("back-off 20s") ?? false, seen);
    assert.equal(main("uid-a")?.restartCount, 2);
    assert.ok(
      node.events.some((event) => event.reason === "BackOff" && event.message.includes("Back-off restarting failed container main")),
    );
  });

  it("ends a pod that is not to be restarted and gives back all but its record and logs", async () => {
    pods.assign(pod("a", { restartPolicy: "Never", containers: [container("main", { command: ["exit 0"] })] }));
    await until(() => phase("uid-a") === "Succeeded", seen);
    await until(
      async () => (await node.leftovers()).length === 1,
      () => node.leftovers(),
    );
    assert.deepEqual(await node.leftovers(), ["folder uid-a"]);
    assert.equal(main("uid-a")?.state?.terminated?.reason, "Completed");
    assert.equal(status("uid-a")?.podIP, "10.64.1.2");
    pods.assign(pod("b", { restartPolicy: "OnFailure", containers: [container("main", { command: ["exit 0"] })] }));
    await until(() => phase("uid-b") === "Succeeded", seen);
    pods.assign(pod("c", { restartPolicy: "Never", containers: [container("main", { command: ["exit 4"] })] }));
    await until(() => phase("uid-c") === "Failed", seen);
    assert.deepEqual(node.kernel.starts.length, 3);
  });

  it("fails a pod whose init container fails and may not run again", async () => {
    pods.assign(pod("a", { restartPolicy: "Never", initContainers: [container("setup", { command: ["exit 1"] })] }));
    await until(() => phase("uid-a") === "Failed", seen);
    assert.equal(status("uid-a")?.initContainerStatuses?.[0]?.state?.terminated?.exitCode, 1);
    assert.equal(main("uid-a")?.state?.waiting?.reason, "PodInitializing");
    assert.deepEqual(
      node.kernel.starts.map((start) => start.split("/")[1]),
      ["setup_0"],
    );
  });

  it("names a ConfigMap that the environment lacks, and starts once it comes", async () => {
    const env = [{ name: "COLOUR", valueFrom: { configMapKeyRef: { name: "paint", key: "colour" } } }];
    node.objects.set({ kind: "ConfigMap", namespace: "default", name: "paint" }, undefined);
    pods.assign(pod("a", { containers: [container("main", { env })] }));
    await until(() => main("uid-a")?.state?.waiting?.reason === "CreateContainerConfigError", seen);
    assert.equal(main("uid-a")?.state?.waiting?.message, 'configmap "paint" not found');
    node.objects.set(
      { kind: "ConfigMap", namespace: "default", name: "paint" },
      { metadata: { resourceVersion: "7" }, data: { colour: "red" } },
    );
    pods.objectsChanged(new Set(["ConfigMap/default/paint"]));
    await running("uid-a");
    const started = node.kernel.sandboxes.get("uid-a")?.containers.get("main_0");
    assert.ok(started?.spec.process.env.includes("COLOUR=red"));
  });

  it("counts a command that does not exist as an attempt that failed to start", async () => {
    pods.assign(pod("a", { containers: [container("main", { command: ["/no/such/thing"] })] }));
    await until(() => main("uid-a")?.state?.waiting?.reason === "RunContainerError", seen);
    assert.match(main("uid-a")?.state?.waiting?.message ?? "", /\/no\/such\/thing: no such file/);
    assert.deepEqual([main("uid-a")?.lastState?.terminated?.reason, main("uid-a")?.lastState?.terminated?.exitCode], ["StartError", 128]);
    pods.assign(pod("b", { restartPolicy: "Never", containers: [container("main", { command: ["/no/such/thing"] })] }));
    await until(() => phase("uid-b") === "Failed", seen);
    assert.equal(main("uid-b")?.state?.terminated?.reason, "StartError");
  });

  it("waits with a clear word while no address is free, and goes on when one is", async () => {
    await pods.stop();
    node.podCidr = "10.64.9.0/30";
    pods = await node.agent();
    pods.assign(pod("a"));
    await running("uid-a");
    pods.assign(pod("b"));
    const failed = () => node.events.find((event) => event.reason === "FailedCreatePodSandBox");
    await until(() => failed() !== undefined && main("uid-b") !== undefined, seen);
    assert.match(failed()?.message ?? "", /no free address in 10\.64\.9\.0\/30: all 1 are in use/);
    assert.equal(main("uid-b")?.state?.waiting?.reason, "ContainerCreating");
    assert.match(main("uid-b")?.state?.waiting?.message ?? "", /no free address/);
    pods.assign(deleted(pod("a"), 0));
    await running("uid-b");
  });

  it("holds a pod back whose host port is taken, says so, and goes on when it is free", async () => {
    const ports = [{ protocol: "TCP", address: "0.0.0.0", port: 8080, podPort: 80 }] as const;
    await node.network.openHostPorts({ id: "uid-ending", address: "10.64.1.99", ports });
    pods.assign(pod("a", { containers: [container("main", { ports: [{ containerPort: 80, hostPort: 8080 }] })] }));
    const failed = () => node.events.find((event) => event.reason === "FailedCreatePodSandBox");
    await until(() => failed() !== undefined && main("uid-a") !== undefined, seen);
    assert.equal(failed()?.message, "Failed to create pod sandbox: port 8080/TCP of the node is taken by pod uid-ending");
    assert.equal(main("uid-a")?.state?.waiting?.message, "openHostPorts: port 8080/TCP of the node is taken by pod uid-ending");
    assert.equal(node.kernel.sandboxes.size, 0);
    await node.network.closeHostPorts("uid-ending");
    pods.poke("hostPorts");
    await running("uid-a");
    assert.deepEqual([...node.network.hostPorts.keys()], ["uid-a"]);
  });

  it("takes the host ports of a running pod over from the agent before, and lets the pod run on if it cannot", async () => {
    pods.assign(pod("a", { containers: [container("main", { ports: [{ containerPort: 80, hostPort: 8080 }] })] }));
    await running("uid-a");
    await pods.stop();
    const { openHostPorts } = node.network;
    node.network.openHostPorts = async ({ ports }) => {
      throw new HostPortTaken(ports[0] ?? assert.fail(), undefined);
    };
    pods = await node.agent();
    await until(() => node.events.some(({ message }) => message.includes("port 8080/TCP of the node is taken")), seen);
    assert.equal(phase("uid-a"), "Running");
    assert.deepEqual([...node.network.hostPorts.keys()], ["uid-a"]);
    node.network.openHostPorts = openHostPorts;
    pods.poke("hostPorts");
    await until(() => pods.get("uid-a")?.state.hostPorts === "there", seen);
    assert.equal(node.kernel.starts.length, 1);
  });

  it("undoes a sandbox that failed half-way and tries again", async () => {
    node.network.failure = new Error("rtnetlink: no buffer space");
    pods.assign(pod("a"));
    await until(() => node.events.some((event) => event.reason === "FailedCreatePodSandBox"), seen);
    await until(() => pods.get("uid-a")?.state.busy.size === 0);
    node.clock.advance(1_000);
    await running("uid-a");
  });

  for (const [kind, file, policy, text] of [
    ["termination message", "containers/main_0/termination-log", "File", "out of paper"],
    ["last log lines", "logs/main/0.log", "FallbackToLogsOnError", "2026-01-01T00:00:00.000000000Z stderr F out of paper\n"],
  ] as const) {
    it(`keeps the ${kind} of a container that ended while there was no agent`, async () => {
      pods.assign(pod("a", { restartPolicy: "Never", containers: [container("main", { terminationMessagePolicy: policy })] }));
      await running("uid-a");
      await pods.stop();
      await writeFile(join(node.folder, "pods/uid-a", file), text);
      node.kernel.end("uid-a", "main_0", { exitCode: 3 });
      pods = await node.agent();
      await until(() => phase("uid-a") === "Failed", seen);
      const { exitCode, message } = main("uid-a")?.state?.terminated ?? {};
      assert.deepEqual([exitCode, message], [3, "out of paper"]);
    });
  }

  it("makes a new sandbox when the shim is killed, and counts the restart", async () => {
    pods.assign(pod("a"));
    await running("uid-a");
    node.kernel.loseSandbox("uid-a");
    await until(() => main("uid-a")?.restartCount === 1 && main("uid-a")?.ready === true, seen);
    assert.equal(main("uid-a")?.lastState?.terminated?.reason, "ContainerStatusUnknown");
    assert.ok(node.events.some((event) => event.reason === "SandboxChanged"));
  });

  it("runs init containers again in a new sandbox, whether or not an agent saw the old one go", async () => {
    const init = container("setup", { command: ["exit 0"] });
    const starts = () => node.kernel.starts.map((start) => start.split("/")[1]);
    pods.assign(pod("a", { initContainers: [init] }));
    await running("uid-a");
    node.kernel.loseSandbox("uid-a");
    await until(() => main("uid-a")?.restartCount === 1 && main("uid-a")?.ready === true, seen);
    assert.deepEqual(starts(), ["setup_0", "main_0", "setup_1", "main_1"]);
    await pods.stop();
    node.kernel.sandboxes.clear();
    pods = await node.agent();
    // Past the back-off that the first restart has earned.
    node.clock.advance(10_000);
    await until(() => main("uid-a")?.restartCount === 2 && main("uid-a")?.ready === true, seen);
    assert.deepEqual(starts().slice(4), ["setup_2", "main_2"]);
    assert.equal(phase("uid-a"), "Running");
  });

  it("pauses containers as the pod says, tells it, forgets it with no agent, and can stop them", async () => {
    const annotated = (paused: string) => pod("a", {}, { annotations: { "tessera.dev/paused": paused } });
    const condition = () => status("uid-a")?.conditions?.find(({ type }) => type === "tessera.dev/Paused");
    pods.assign(pod("a"));
    await running("uid-a");
    assert.equal(condition(), undefined);
    pods.assign(annotated("true"));
    await until(() => condition()?.status === "True", seen);
    assert.equal(condition()?.message, "containers that stand still: [main]");
    assert.equal(main("uid-a")?.ready, false);
    assert.equal(phase("uid-a"), "Running");
    await pods.stop();
    pods = await node.agent();
    pods.assign(annotated("false"));
    await running("uid-a");
    assert.equal(condition()?.status, "False");
    pods.assign(annotated("main"));
    await until(() => condition()?.status === "True", seen);
    assert.deepEqual(
      node.events.map((event) => event.reason),
      ["Pulled", "Created", "Started", "Paused", "Resumed", "Paused"],
    );
    pods.assign(deleted(annotated("main"), 30));
    await until(() => node.gone.has("uid-a"), seen);
    assert.equal(main("uid-a")?.state?.terminated?.exitCode, 143);
    assert.deepEqual(await node.leftovers(), []);
  });

  it("fails a pod that it may not run, and makes nothing for it", async () => {
    pods.assign(pod("a", { securityContext: { sysctls: [{ name: "net.core.somaxconn", value: "1" }] } }));
    await until(() => phase("uid-a") === "Failed", seen);
    assert.equal(status("uid-a")?.reason, "SysctlForbidden");
    assert.match(status("uid-a")?.message ?? "", /not one of the safe ones/);
    assert.equal(status("uid-a")?.containerStatuses, undefined);
    assert.deepEqual(
      node.events.map(({ type, reason }) => [type, reason]),
      [["Warning", "SysctlForbidden"]],
    );
    assert.deepEqual(node.kernel.starts, []);
    pods.release("uid-a");
    await until(() => node.gone.has("uid-a"), seen);
    assert.deepEqual(await node.leftovers(), []);
  });

  it("counts a pod as long as its object is there and it has not ended", async () => {
    const half = { containers: [container("main", { resources: { requests: { cpu: "1" } } })] };
    pods.assign(pod("a", half));
    pods.assign(pod("b", { ...half, restartPolicy: "Never" }));
    await running("uid-b");
    pods.assign(pod("c", half));
    await until(() => phase("uid-c") === "Failed", seen);
    assert.equal(status("uid-c")?.reason, "OutOfcpu");
    assert.equal(
      status("uid-c")?.message,
      "Pod was rejected: Node didn't have enough resource: cpu, requested: 1000, used: 2000, capacity: 2000",
    );
    node.kernel.end("uid-b", "main_0", { exitCode: 0 });
    await until(() => phase("uid-b") === "Succeeded", seen);
    pods.assign(pod("d", half));
    await running("uid-d");
    pods.release("uid-a");
    pods.assign(pod("e", half));
    await running("uid-e");
  });

  it("refuses none that it has taken in once, whatever has become of the node, and runs none that it has refused", async () => {
    pods.assign(pod("a"));
    await running("uid-a");
    await pods.stop();
    node.admitting = { ...node.admitting, pressures: ["DiskPressure"] };
    pods = await node.agent();
    pods.assign(pod("a"));
    pods.assign(pod("b"));
    await until(() => phase("uid-b") === "Failed", seen);
    assert.equal(status("uid-b")?.reason, "Evicted");
    assert.equal(phase("uid-a"), "Running");
    const refused = { ...pod("b"), status: status("uid-b") };
    await pods.stop();
    node.admitting = { ...node.admitting, pressures: [] };
    node.statuses.clear();
    pods = await node.agent();
    pods.assign(refused);
    await until(() => phase("uid-b") === "Failed", seen);
    assert.equal(status("uid-b")?.message, "Pod was rejected: The node had condition: [DiskPressure].");
    assert.deepEqual(node.kernel.starts, ["uid-a/main_0"]);
  });

  it("finds its pods again after being killed and restarts none", async () => {
    pods.assign(pod("a"));
    await running("uid-a");
    await pods.stop();
    pods = await node.agent();
    assert.equal(pods.get("uid-a")?.want.name, "a");
    await running("uid-a");
    assert.equal(main("uid-a")?.restartCount, 0);
    assert.deepEqual(node.kernel.starts, ["uid-a/main_0"]);
  });

  it("learns on its return how containers ended while it was away", async () => {
    pods.assign(pod("a", { restartPolicy: "Never" }));
    await running("uid-a");
    await pods.stop();
    node.kernel.end("uid-a", "main_0", { exitCode: 9, oomKilled: true });
    pods = await node.agent();
    await until(() => phase("uid-a") === "Failed", seen);
    assert.deepEqual([main("uid-a")?.state?.terminated?.reason, main("uid-a")?.state?.terminated?.exitCode], ["OOMKilled", 9]);
  });

  it("does not run a pod again that has ended, though its own record was lost", async () => {
    const object = pod("a", { restartPolicy: "Never" });
    object.status = {
      phase: "Running",
      containerStatuses: [{ name: "main", restartCount: 0, image: "app", state: { running: { startedAt: "2026-01-02T03:00:00Z" } } }],
    };
    pods.assign(object);
    await until(() => phase("uid-a") === "Failed", seen);
    assert.equal(main("uid-a")?.state?.terminated?.reason, "ContainerStatusUnknown");
    assert.deepEqual(node.kernel.starts, []);
  });

  it("removes what no record owns when it starts", async () => {
    await pods.stop();
    const ports = [{ protocol: "TCP", address: "0.0.0.0", port: 8080, podPort: 80 }] as const;
    node.network.hostPorts.set("uid-ghost", { id: "uid-ghost", address: "10.64.1.77", ports });
    pods = await node.agent();
    assert.deepEqual(await node.leftovers(), []);
  });

  it("replaces a running container when its image changes", async () => {
    pods.assign(pod("a"));
    await running("uid-a");
    pods.assign(pod("a", { containers: [container("main", { image: "other" })] }));
    await until(() => main("uid-a")?.restartCount === 1 && main("uid-a")?.image === "other", seen);
  });
});

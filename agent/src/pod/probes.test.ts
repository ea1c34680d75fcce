import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import type { Container, ContainerStatus, Pod, Probe } from "@tessera/proto";
import type { Pods } from "./pods.ts";
import { TestNode, until } from "./testing/harness.ts";
import { container, deleted, pod } from "./testing/pod-builder.ts";

describe("a pod with probes and hooks", () => {
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

  /** Waits for a condition while whatever is due happens. */
  const eventually = (condition: () => boolean, describe?: () => unknown) =>
    until(() => {
      node.clock.advance(0);
      return condition();
    }, describe);
  const status = () => node.statuses.get("uid-a");
  const main = (): ContainerStatus | undefined => status()?.containerStatuses?.[0];
  const seen = () => ({ status: status(), events: node.events, execs: node.kernel.execs });
  const told = (reason: string) => node.events.filter((event) => event.reason === reason).map((event) => event.message);
  const condition = (type: string) => status()?.conditions?.find((one) => one.type === type);
  const isReady = () => condition("Ready")?.status === "True";
  const runs = () => eventually(() => main()?.state?.running !== undefined, seen);
  const gone = () => eventually(() => node.gone.has("uid-a"), seen);
  /** The command of a probe ends with that from now on. */
  const answer = (command: string, exitCode: number) => node.kernel.exitCodes.set(command, exitCode);
  const probe = (command: string, more: Probe = {}): Probe => ({
    exec: { command: [command] },
    periodSeconds: 1,
    failureThreshold: 2,
    ...more,
  });
  const countOf = (exec: string) => node.kernel.execs.filter((one) => one === exec).length;

  /** Time passes until the command was run so often in all. */
  async function pass(exec: string, times: number): Promise<void> {
    await eventually(() => {
      if (countOf(exec) >= times) return true;
      node.clock.advance(500);
      return false;
    }, seen);
  }

  function run(spec: Container, more: Pod["spec"] = {}): void {
    pods.assign(pod("a", { containers: [container("main", spec)], ...more }));
  }

  it("is restarted when its liveness probe fails, and events say why", async () => {
    run({ livenessProbe: probe("live") });
    await runs();
    await pass("main_0 live", 2);
    assert.equal(main()?.restartCount, 0);
    answer("live", 1);
    await pass("main_0 live", 4);
    await eventually(() => main()?.restartCount === 1, seen);
    assert.deepEqual(told("Unhealthy"), [
      "Liveness probe failed: the command exited with code 1",
      "Liveness probe failed: the command exited with code 1",
    ]);
    assert.deepEqual(told("Killing"), ["Container main failed liveness probe, will be restarted"]);
    assert.equal(main()?.lastState?.terminated?.exitCode, 143);
  });

  it("is killed after the grace of the probe that failed, when it ignores its stop signal", async () => {
    run({ command: ["ignore-signals"], livenessProbe: probe("exit 1", { failureThreshold: 1, terminationGracePeriodSeconds: 5 }) });
    await eventually(() => told("Killing").length === 1, seen);
    await eventually(() => pods.get("uid-a")?.state.busy.size === 0);
    node.clock.advance(4_900);
    await eventually(() => pods.get("uid-a")?.state.busy.size === 0);
    assert.equal(pods.get("uid-a")?.state.isRunning("main"), true);
    node.clock.advance(100);
    await eventually(() => main()?.lastState?.terminated?.exitCode === 137, seen);
  });

  it("ends for good when its liveness probe fails and it may not be restarted", async () => {
    run({ livenessProbe: probe("exit 1", { failureThreshold: 1 }) }, { restartPolicy: "Never" });
    await eventually(() => status()?.phase === "Failed", seen);
    assert.equal(main()?.state?.terminated?.exitCode, 143);
  });

  it("is Ready as its readiness probe says, and not restarted for it", async () => {
    answer("ready", 1);
    run({ readinessProbe: probe("ready", { failureThreshold: 1 }) });
    await runs();
    assert.equal(main()?.ready, false);
    assert.match(condition("Ready")?.message ?? "", /unready status: \[main\]/);
    answer("ready", 0);
    node.clock.advance(1000);
    await eventually(isReady, seen);
    assert.equal(condition("ContainersReady")?.status, "True");
    answer("ready", 1);
    node.clock.advance(1000);
    await eventually(() => !isReady(), seen);
    assert.deepEqual([main()?.ready, main()?.started, main()?.restartCount], [false, true, 0]);
    assert.deepEqual(told("Killing"), []);
  });

  it("has started when its startup probe says so, and is asked nothing else before", async () => {
    answer("up", 1);
    run({ startupProbe: probe("up", { failureThreshold: 100 }), livenessProbe: probe("live"), readinessProbe: probe("ready") });
    await runs();
    await pass("main_0 up", 3);
    assert.deepEqual([main()?.started, main()?.ready, countOf("main_0 live"), countOf("main_0 ready")], [false, false, 0, 0]);
    answer("up", 0);
    await pass("main_0 live", 1);
    await eventually(isReady, seen);
    assert.equal(main()?.started, true);
  });

  it("is restarted when its startup probe gives up", async () => {
    run({ startupProbe: probe("exit 1") });
    await pass("main_0 exit 1", 2);
    await eventually(() => main()?.restartCount === 1, seen);
    assert.deepEqual(told("Killing"), ["Container main failed startup probe, will be restarted"]);
  });

  it("starts what comes after a sidecar once the sidecar's startup probe has succeeded", async () => {
    answer("up", 1);
    run({}, { initContainers: [container("proxy", { restartPolicy: "Always", startupProbe: probe("up", { failureThreshold: 100 }) })] });
    await pass("proxy_0 up", 3);
    assert.deepEqual(node.kernel.starts, ["uid-a/proxy_0"]);
    assert.equal(condition("Initialized")?.status, "False");
    answer("up", 0);
    node.clock.advance(1000);
    await eventually(isReady, seen);
    assert.deepEqual(node.kernel.starts, ["uid-a/proxy_0", "uid-a/main_0"]);
  });

  it("stays as it was when the agent is restarted, and is probed again", async () => {
    run({ startupProbe: probe("up"), readinessProbe: probe("ready"), lifecycle: { postStart: { exec: { command: ["hello"] } } } });
    await eventually(isReady, seen);
    await eventually(() => pods.get("uid-a")?.state.busy.size === 0);
    await pods.stop();
    node.kernel.execs.length = 0;
    node.statuses.clear();
    pods = await node.agent();
    await eventually(() => isReady(), seen);
    await pass("main_0 ready", 2);
    assert.deepEqual([countOf("main_0 up"), countOf("main_0 hello"), node.kernel.starts.length, main()?.restartCount], [0, 0, 1, 0]);
    answer("ready", 1);
    await pass("main_0 ready", 5);
    await eventually(() => !isReady(), seen);
  });

  it("is probed like it was started, whatever has become of what its environment came from", async () => {
    const env = [{ name: "MODE", valueFrom: { configMapKeyRef: { name: "given", key: "mode" } } }];
    const key = { kind: "ConfigMap", namespace: "default", name: "given" } as const;
    node.objects.set(key, { metadata: { resourceVersion: "1" }, data: { mode: "first" } });
    run({ env, livenessProbe: probe("live") });
    await pass("main_0 live", 1);
    node.objects.set(key, undefined);
    await pass("main_0 live", 3);
    assert.deepEqual(told("Unhealthy"), []);
  });

  it("is asked no more once it is being deleted, but for its readiness", async () => {
    run({ command: ["ignore-signals"], livenessProbe: probe("live"), readinessProbe: probe("ready") });
    await eventually(isReady, seen);
    pods.assign(
      deleted(pod("a", { containers: [container("main", { livenessProbe: probe("live"), readinessProbe: probe("ready") })] }), 30),
    );
    await eventually(() => told("Killing").length === 1, seen);
    const before = countOf("main_0 live");
    await pass("main_0 ready", countOf("main_0 ready") + 3);
    assert.equal(countOf("main_0 live"), before);
    node.clock.advance(30_000);
    await gone();
  });

  it("runs when its postStart hook has run, and so does what comes after it", async () => {
    const hook = { lifecycle: { postStart: { sleep: { seconds: 10 } } }, livenessProbe: probe("live") };
    pods.assign(pod("a", { containers: [container("main", hook), container("side")] }));
    await eventually(() => pods.get("uid-a")?.state.busy.has("hook of main") === true, seen);
    node.clock.advance(9_000);
    await eventually(() => main()?.state?.waiting?.reason === "ContainerCreating", seen);
    assert.deepEqual(
      [status()?.phase, main()?.started, node.kernel.starts, countOf("main_0 live")],
      ["Pending", false, ["uid-a/main_0"], 0],
    );
    node.clock.advance(1_000);
    await eventually(isReady, seen);
    assert.deepEqual(node.kernel.starts, ["uid-a/main_0", "uid-a/side_0"]);
  });

  it("is ended when its postStart hook fails, and restarted", async () => {
    run({ lifecycle: { postStart: { exec: { command: ["exit", "3"] } } } });
    await eventually(() => main()?.restartCount === 1, seen);
    assert.equal(told("FailedPostStartHook")[0], 'PostStartHook failed: command "exit 3" exited with code 3');
    assert.equal(told("Killing")[0], "FailedPostStartHook");
  });

  it("gives up a postStart hook when it is deleted", async () => {
    const spec = { lifecycle: { postStart: { exec: { command: ["hang"] } } } };
    run(spec);
    await eventually(() => countOf("main_0 hang") === 1, seen);
    pods.assign(deleted(pod("a", { containers: [container("main", spec)] }), 30));
    await gone();
    assert.deepEqual(await node.leftovers(), []);
    assert.deepEqual(told("FailedPostStartHook"), []);
  });

  const deletes = (spec: Container, graceSeconds: number) =>
    pods.assign(deleted(pod("a", { containers: [container("main", spec)] }), graceSeconds));

  it("gets its stop signal after its preStop hook", async () => {
    const spec = { lifecycle: { preStop: { sleep: { seconds: 10 } } } };
    run(spec);
    await eventually(isReady, seen);
    deletes(spec, 30);
    await eventually(() => told("Killing").length === 1, seen);
    node.clock.advance(9_900);
    assert.equal(pods.get("uid-a")?.state.isRunning("main"), true);
    node.clock.advance(100);
    await gone();
    assert.equal(main()?.state?.terminated?.exitCode, 143);
    assert.deepEqual([told("Killing").length, told("FailedPreStopHook")], [1, []]);
  });

  it("gets its stop signal also when its preStop hook fails", async () => {
    const spec = { lifecycle: { preStop: { exec: { command: ["exit", "2"] } } } };
    run(spec);
    await eventually(isReady, seen);
    deletes(spec, 30);
    await gone();
    assert.equal(main()?.state?.terminated?.exitCode, 143);
    assert.deepEqual(told("FailedPreStopHook"), ['PreStopHook failed: command "exit 2" exited with code 2']);
  });

  it("has two seconds left after a preStop hook that took all of the grace", async () => {
    const spec = { command: ["ignore-signals"], lifecycle: { preStop: { exec: { command: ["hang"] } } } };
    run(spec);
    await eventually(isReady, seen);
    deletes(spec, 5);
    await eventually(() => countOf("main_0 hang") === 1, seen);
    node.clock.advance(5_000);
    await eventually(() => pods.get("uid-a")?.state.busy.size === 0, seen);
    assert.equal(pods.get("uid-a")?.state.isRunning("main"), true);
    node.clock.advance(1_900);
    await eventually(() => pods.get("uid-a")?.state.busy.size === 0, seen);
    assert.equal(node.gone.size, 0);
    node.clock.advance(100);
    await gone();
    assert.equal(main()?.state?.terminated?.exitCode, 137);
  });

  it("is not kept by its preStop hook when its object is gone, or when it gets no grace", async () => {
    const spec = { lifecycle: { preStop: { exec: { command: ["hang"] } } } };
    run(spec);
    await eventually(isReady, seen);
    deletes(spec, 30);
    await eventually(() => countOf("main_0 hang") === 1, seen);
    pods.release("uid-a");
    await gone();
    node.gone.clear();
    run(spec);
    await eventually(() => node.kernel.starts.length === 2 && isReady(), seen);
    deletes(spec, 0);
    await gone();
    assert.equal(countOf("main_0 hang"), 1);
  });

  it("runs its preStop hook before a restart as well", async () => {
    run({ livenessProbe: probe("exit 1", { failureThreshold: 1 }), lifecycle: { preStop: { exec: { command: ["bye"] } } } });
    await eventually(() => main()?.restartCount === 1, seen);
    assert.equal(countOf("main_0 bye"), 1);
    assert.equal(told("Killing")[0], "Container main failed liveness probe, will be restarted");
  });

  it("has failed when its deadline comes, and stays so", async () => {
    run({}, { activeDeadlineSeconds: 20 });
    await eventually(isReady, seen);
    node.clock.advance(19_900);
    assert.equal(status()?.phase, "Running");
    node.clock.advance(100);
    await eventually(() => status()?.phase === "Failed", seen);
    assert.deepEqual([status()?.reason, main()?.state?.terminated?.exitCode], ["DeadlineExceeded", 143]);
    assert.equal(told("DeadlineExceeded").length, 1);
    await eventually(() => node.kernel.sandboxes.size === 0, seen);
    await pods.stop();
    node.statuses.clear();
    pods = await node.agent();
    await eventually(() => status()?.reason === "DeadlineExceeded", seen);
    assert.equal(node.kernel.starts.length, 1);
  });

  it("has failed at its deadline also when it never came to run", async () => {
    run({ image: "absent", imagePullPolicy: "Never" }, { activeDeadlineSeconds: 5 });
    await eventually(() => main()?.state?.waiting?.reason === "ErrImageNeverPull", seen);
    node.clock.advance(5_000);
    await eventually(() => status()?.phase === "Failed", seen);
    assert.equal(status()?.reason, "DeadlineExceeded");
  });

  it("has nothing to do with its deadline once it has ended", async () => {
    run({ command: ["exit 0"] }, { activeDeadlineSeconds: 5, restartPolicy: "Never" });
    await eventually(() => status()?.phase === "Succeeded", seen);
    node.clock.advance(10_000);
    await eventually(() => pods.get("uid-a")?.state.busy.size === 0);
    assert.deepEqual([status()?.phase, status()?.reason], ["Succeeded", undefined]);
  });

  it("is Ready only when the conditions that it asks for are True", async () => {
    const gated = (conditions: { type: string; status: string }[]): Pod => {
      const object = pod("a", { readinessGates: [{ conditionType: "example.com/go" }] });
      return { ...object, status: { ...object.status, conditions } };
    };
    pods.assign(gated([]));
    await eventually(() => condition("ContainersReady")?.status === "True", seen);
    assert.deepEqual([condition("Ready")?.status, condition("Ready")?.reason], ["False", "ReadinessGatesNotReady"]);
    assert.match(condition("Ready")?.message ?? "", /"example\.com\/go" does not exist/);
    pods.assign(gated([{ type: "example.com/go", status: "False" }]));
    await eventually(() => /is not "True", but False/.test(condition("Ready")?.message ?? ""), seen);
    pods.assign(gated([{ type: "example.com/go", status: "True" }]));
    await eventually(isReady, seen);
  });

  it("is stopped with the signal that it names", async () => {
    const spec = { lifecycle: { stopSignal: "SIGUSR1" } };
    run(spec);
    await eventually(isReady, seen);
    assert.equal(main()?.stopSignal, "SIGUSR1");
    deletes(spec, 30);
    await gone();
    assert.equal(main()?.state?.terminated?.signal, 10);
  });
});

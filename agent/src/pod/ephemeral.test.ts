import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import type { ContainerStatus, EphemeralContainer, Pod } from "@tessera/proto";
import type { Pods } from "./pods.ts";
import { TestNode, until } from "./testing/harness.ts";
import { container, deleted, pod } from "./testing/pod-builder.ts";

describe("ephemeral containers", () => {
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

  const status = (uid: string) => node.statuses.get(uid);
  const debug = (uid: string): ContainerStatus | undefined => status(uid)?.ephemeralContainerStatuses?.[0];
  const seen = () => ({ statuses: [...node.statuses], events: node.events });
  const withDebug = (object: Pod, more: EphemeralContainer = {}): Pod => ({
    ...object,
    spec: { ...object.spec, ephemeralContainers: [{ ...container("debug"), ...more }] },
  });
  const running = (uid: string) => until(() => status(uid)?.phase === "Running", seen);

  it("start in a pod that runs, and leave it as it is", async () => {
    const object = pod("a");
    pods.assign(object);
    await running("uid-a");
    const before = status("uid-a");
    pods.assign(withDebug(object));
    await until(() => debug("uid-a")?.state?.running !== undefined, seen);
    const { ephemeralContainerStatuses, ...rest } = status("uid-a") ?? {};
    assert.deepEqual(rest, before);
    assert.deepEqual(node.kernel.starts, ["uid-a/main_0", "uid-a/debug_0"]);
    assert.equal(ephemeralContainerStatuses?.[0]?.ready, false);
    assert.ok(node.events.some(({ reason, fieldPath }) => reason === "Started" && fieldPath === "spec.ephemeralContainers{debug}"));
  });

  it("run once, whatever they end with and whatever the pod's policy", async () => {
    pods.assign(withDebug(pod("a"), { command: ["exit 3"] }));
    await until(() => debug("uid-a")?.state?.terminated?.exitCode === 3, seen);
    await running("uid-a");
    node.clock.advance(600_000);
    await until(() => pods.get("uid-a")?.state.busy.size === 0);
    assert.equal(debug("uid-a")?.restartCount, 0);
    assert.deepEqual(
      node.kernel.starts.filter((start) => start.includes("debug")),
      ["uid-a/debug_0"],
    );
  });

  it("start where an init container fails, to show why", async () => {
    const object = pod("a", { initContainers: [container("setup", { command: ["exit 1"] })] });
    pods.assign(object);
    await until(() => status("uid-a")?.initContainerStatuses?.[0]?.state?.waiting?.reason === "CrashLoopBackOff", seen);
    pods.assign(withDebug(object));
    await until(() => debug("uid-a")?.state?.running !== undefined, seen);
    assert.equal(status("uid-a")?.phase, "Pending");
  });

  it("do not keep a pod from ending, and end with it", async () => {
    const object = pod("a", { restartPolicy: "Never", containers: [container("main")] });
    pods.assign(withDebug(object));
    await until(() => debug("uid-a")?.state?.running !== undefined && status("uid-a")?.phase === "Running", seen);
    node.kernel.end("uid-a", "main_0");
    await until(() => status("uid-a")?.phase === "Succeeded", seen);
    assert.equal(debug("uid-a")?.state?.terminated?.exitCode, 143);
  });

  it("wait for the container whose processes they are to see", async () => {
    const object = pod("a", { initContainers: [container("setup", { command: ["exit 1"] })] });
    pods.assign(withDebug(object, { targetContainerName: "main" }));
    const why = 'container "main", whose processes it is to see, does not run';
    await until(() => debug("uid-a")?.state?.waiting?.message === why, seen);
    assert.deepEqual(
      node.kernel.starts.filter((start) => start.includes("debug")),
      [],
    );
  });

  it("join the target's current run", async () => {
    const object = pod("a");
    pods.assign(object);
    await running("uid-a");
    node.kernel.end("uid-a", "main_0", { exitCode: 1 });
    await until(() => node.kernel.starts.includes("uid-a/main_1"), seen);
    pods.assign(withDebug(object, { targetContainerName: "main" }));
    await until(() => debug("uid-a")?.state?.running !== undefined, seen);
    assert.deepEqual(node.kernel.sandboxes.get("uid-a")?.containers.get("debug_0")?.spec.pid, { container: "main_1" });
  });

  it("are known to the next agent, running or ended", async () => {
    const object = withDebug(pod("a"));
    pods.assign(object);
    await until(() => debug("uid-a")?.state?.running !== undefined, seen);
    await pods.stop();
    node.statuses.clear();
    pods = await node.agent();
    pods.assign(object);
    await until(() => debug("uid-a")?.state?.running !== undefined, seen);
    node.kernel.end("uid-a", "debug_0", { exitCode: 7 });
    await until(() => debug("uid-a")?.state?.terminated?.exitCode === 7, seen);
    pods.assign(deleted(object, 30));
    await until(() => node.gone.has("uid-a"), seen);
    assert.deepEqual(await node.leftovers(), []);
    assert.deepEqual(
      node.kernel.starts.filter((start) => start.includes("debug")),
      ["uid-a/debug_0"],
    );
  });
});

import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import type { Pods } from "./pods.ts";
import { TestNode, until } from "./testing/harness.ts";
import { container, deleted, pod } from "./testing/pod-builder.ts";

describe("the order of a pod's containers", () => {
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
  const seen = () => ({ statuses: [...node.statuses], events: node.events });
  const running = (uid: string) =>
    until(() => status(uid)?.conditions?.some((one) => one.type === "Ready" && one.status === "True") ?? false, seen);

  it("runs init containers in order, and the others after them", async () => {
    const init = [container("first", { command: ["exit 0"] }), container("second", { command: ["exit 0"] })];
    pods.assign(pod("a", { initContainers: init, containers: [container("main"), container("side")] }));
    await running("uid-a");
    const starts = node.kernel.starts.map((start) => start.split("/")[1]);
    assert.deepEqual([...starts.slice(0, 2), ...starts.slice(2).sort()], ["first_0", "second_0", "main_0", "side_0"]);
    assert.deepEqual(
      status("uid-a")?.initContainerStatuses?.map((one) => [one.ready, one.state?.terminated?.reason]),
      [
        [true, "Completed"],
        [true, "Completed"],
      ],
    );
  });

  it("starts a sidecar before the containers after it and stops it after them", async () => {
    const sidecar = container("proxy", { restartPolicy: "Always" });
    pods.assign(pod("a", { initContainers: [sidecar], containers: [container("main")] }));
    await running("uid-a");
    assert.deepEqual(
      node.kernel.starts.map((start) => start.split("/")[1]),
      ["proxy_0", "main_0"],
    );
    pods.assign(deleted(pod("a", { initContainers: [sidecar] }), 30));
    await until(() => node.gone.has("uid-a"), seen);
    const killed = node.events.filter((event) => event.reason === "Killing").map((event) => event.message);
    assert.deepEqual(killed, ["Stopping container main", "Stopping container proxy"]);
  });

  it("starts sidecars and init containers in the order in which they are listed, and stops sidecars the other way round", async () => {
    const sidecar = (name: string) => container(name, { restartPolicy: "Always" });
    const initContainers = [sidecar("first"), container("setup", { command: ["exit 0"] }), sidecar("second"), sidecar("third")];
    const spec = { initContainers, containers: [container("main")] };
    pods.assign(pod("a", spec));
    await running("uid-a");
    const starts = node.kernel.starts.map((start) => start.split("/")[1]);
    assert.deepEqual(starts, ["first_0", "setup_0", "second_0", "third_0", "main_0"]);
    pods.assign(deleted(pod("a", spec), 30));
    await until(() => node.gone.has("uid-a"), seen);
    const killed = node.events.filter((event) => event.reason === "Killing").map((event) => event.message);
    assert.deepEqual(
      killed,
      ["main", "third", "second", "first"].map((name) => `Stopping container ${name}`),
    );
  });
});

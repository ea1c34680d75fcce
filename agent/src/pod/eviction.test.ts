import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import type { Pods } from "./pods.ts";
import { TestNode, until } from "./testing/harness.ts";
import { container, pod } from "./testing/pod-builder.ts";

describe("a pod that is too much for its limits or its node", () => {
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

  const status = () => node.statuses.get("uid-a");
  const target = () => status()?.conditions?.find(({ type }) => type === "DisruptionTarget");
  const seen = () => ({ status: status(), events: node.events });
  const message = 'Usage of EmptyDir volume "scratch" exceeds the limit "1Mi".';

  /** Waits for a condition while time passes. */
  const eventually = (condition: () => boolean) =>
    until(() => {
      node.clock.advance(500);
      return condition();
    }, seen);

  it("is evicted: it fails, says why, is stopped and stays so", async () => {
    pods.assign(pod("a", { volumes: [{ name: "scratch", emptyDir: { sizeLimit: "1Mi" } }] }));
    await eventually(() => status()?.phase === "Running");
    await writeFile(join(node.folder, "pods/uid-a/volumes/empty-dir/scratch/large"), Buffer.alloc(2 << 20, 1));
    await eventually(() => status()?.phase === "Failed");
    assert.deepEqual([status()?.reason, status()?.message], ["Evicted", message]);
    assert.equal(target(), undefined, "its own fault");
    assert.deepEqual(
      node.events.filter(({ reason }) => reason === "Evicted").map((event) => [event.type, event.message]),
      [["Warning", message]],
    );
    await eventually(() => node.kernel.sandboxes.size === 0);
    await pods.stop();
    node.statuses.clear();
    pods = await node.agent();
    await eventually(() => status()?.reason === "Evicted");
    assert.equal(node.kernel.starts.length, 1);
  });

  it("is evicted for others as well, which its conditions say", async () => {
    pods.assign(pod("a"));
    await eventually(() => status()?.phase === "Running");
    pods.get("uid-a")?.evict("The node was low on resource: ephemeral-storage.", true);
    await eventually(() => status()?.phase === "Failed");
    assert.deepEqual([status()?.reason, target()?.status, target()?.reason], ["Evicted", "True", "TerminationByKubelet"]);
    assert.deepEqual(
      Object.keys(status() ?? {}).filter((key) => key.startsWith("is")),
      [],
    );
  });

  it("is evicted for what its containers write beside volumes, and for volumes without a limit", async () => {
    const limits = { "ephemeral-storage": "1Mi" };
    const containers = [container("main", { resources: { limits } })];
    pods.assign(pod("a", { volumes: [{ name: "scratch", emptyDir: {} }], containers }));
    await eventually(() => status()?.phase === "Running");
    await writeFile(join(node.folder, "pods/uid-a/containers/main_0/upper/file"), Buffer.alloc(600 << 10, 1));
    for (let look = 0; look < 20; look++) await eventually(() => true);
    assert.equal(status()?.phase, "Running");
    await writeFile(join(node.folder, "pods/uid-a/volumes/empty-dir/scratch/file"), Buffer.alloc(600 << 10, 1));
    await eventually(() => status()?.phase === "Failed");
    assert.equal(status()?.message, "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi.");
  });
});

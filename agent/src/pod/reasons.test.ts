import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { TesseraError } from "@tessera/proto";
import type { Pods } from "./pods.ts";
import { TestNode, until } from "./testing/harness.ts";
import { container, pod } from "./testing/pod-builder.ts";

/* Words of the API that the tests of pods do not come by. */
describe("what is told of a pod", () => {
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
  const waiting = () => status()?.containerStatuses?.[0]?.state?.waiting;
  const seen = () => ({ status: status(), events: node.events });
  const running = () => until(() => status()?.phase === "Running", seen);

  it("is CreateContainerError when the container's files cannot be made, until they can", async () => {
    const { prepareRootfs } = node.images;
    node.images.prepareRootfs = () => Promise.reject(new TesseraError("InternalError", "the layer is gone"));
    pods.assign(pod("a"));
    await until(() => waiting()?.reason === "CreateContainerError", seen);
    assert.equal(waiting()?.message, "the layer is gone");
    assert.ok(
      node.events.some(({ type, reason, message }) => type === "Warning" && reason === "Failed" && message.includes("the layer is gone")),
    );
    node.images.prepareRootfs = prepareRootfs;
    node.clock.advance(60_000);
    await running();
  });

  it("is InvalidImageName when the image's name is none", async () => {
    node.images.resolve = () => Promise.reject(new TesseraError("Invalid", "not a name"));
    pods.assign(pod("a"));
    await until(() => waiting()?.reason === "InvalidImageName", seen);
    assert.match(waiting()?.message ?? "", /not a name/);
  });

  it("is which keys of a ConfigMap can be no variables", async () => {
    const key = { kind: "ConfigMap", namespace: "default", name: "given" } as const;
    node.objects.set(key, { metadata: { resourceVersion: "1" }, data: { fine: "1", "not=fine": "2", "": "3" } });
    pods.assign(pod("a", { containers: [container("main", { envFrom: [{ configMapRef: { name: "given" } }] })] }));
    await running();
    const told = node.events.filter(({ reason }) => reason === "InvalidEnvironmentVariableNames");
    assert.deepEqual(
      told.map(({ type, message, fieldPath }) => [type, message, fieldPath]),
      [
        [
          "Warning",
          'Left out of the environment, as they can be no names of variables: ConfigMap "given" key "not=fine", ConfigMap "given" key ""',
          "spec.containers{main}",
        ],
      ],
    );
  });

  it("is how well it is served, and which of its wishes that is true of", async () => {
    const resources = { limits: { cpu: "1", memory: "1Mi" } };
    pods.assign(pod("a", { containers: [container("main", { resources })] }, { generation: 7 }));
    await running();
    assert.deepEqual([status()?.qosClass, status()?.observedGeneration], ["Guaranteed", 7]);
  });
});

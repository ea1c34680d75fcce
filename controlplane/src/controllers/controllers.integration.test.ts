import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { TestControlPlane } from "../nodes/testing/test-control-plane.ts";
import { systemClock } from "./clock.ts";
import { createControllers } from "./index.ts";
import { ROOT_CA_CONFIG_MAP } from "./namespaced-defaults.ts";
import { pod } from "./testing/builders.ts";
import { eventually, RecordedEvents, silentLog } from "./testing/fakes.ts";

let plane: TestControlPlane;
const stop = new AbortController();
let running: Promise<unknown> = Promise.resolve();
before(async () => {
  plane = await TestControlPlane.start();
  const deps = {
    registry: plane.registry,
    clock: systemClock,
    events: new RecordedEvents(),
    log: silentLog,
    clusterCaPem: "PEM",
    nodeGoneGraceMs: 50,
  };
  running = Promise.all(createControllers(deps).map((controller) => controller.run(stop.signal)));
});
after(async () => {
  stop.abort();
  await running;
  await plane[Symbol.asyncDispose]();
});

test("a namespace lives and dies with all that belongs to it, on the real store", async () => {
  const { namespaces, serviceAccounts, configMaps, secrets, pods, nodes } = plane.registry;
  await nodes.create({ metadata: { name: "n1" } });
  await namespaces.create({ metadata: { name: "team" } });
  await eventually("it has its defaults", () =>
    Boolean(serviceAccounts.cache.get("team", "default") && configMaps.cache.get("team", ROOT_CA_CONFIG_MAP)),
  );
  await secrets.create({ metadata: { name: "s", namespace: "team" }, type: "Opaque" });
  await pods.create(pod("waiting", "team").build());
  await pods.create(pod("running", "team").on("n1").build());
  await namespaces.remove("", "team");
  const remaining = () =>
    namespaces.cache.get("", "team")?.value.status?.conditions?.find((c) => c.type === "NamespaceContentRemaining")?.message;
  await eventually("only the running pod is left", () => remaining() === "Some resources are remaining: pods/running (ending on node n1)");
  assert.equal(namespaces.cache.get("", "team")?.value.status?.phase, "Terminating");
  await pods.remove("team", "running", { graceSeconds: 0 });
  await eventually("the namespace is gone", () => namespaces.cache.get("", "team") === undefined);
  for (const { cache } of [serviceAccounts, configMaps, secrets, pods]) assert.deepEqual([...cache.list("team")], []);
});

test("pods of a node that is gone for good are removed", async () => {
  const { pods, nodes } = plane.registry;
  await nodes.create({ metadata: { name: "gone" } });
  await pods.create(pod("lost").on("gone").build());
  await nodes.remove("", "gone");
  await eventually("the pod is removed", () => pods.cache.get("default", "lost") === undefined);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { TesseraError } from "@tessera/proto";
import { namespaceDeletion } from "./namespace-deletion.ts";
import { pod } from "./testing/builders.ts";
import { eventually } from "./testing/fakes.ts";
import type { MemoryRegistry } from "./testing/memory-registry.ts";
import { prepareLoop } from "./testing/run-loop.ts";

const namespace = (name: string) => ({ metadata: { name }, spec: { finalizers: ["kubernetes"] } });
const conditionOf = (registry: MemoryRegistry, name: string, type: string) =>
  registry.namespaces.cache.get("", name)?.value.status?.conditions?.find((condition) => condition.type === type);

test("everything in the namespace goes, then the namespace, and nothing of another one", async (t) => {
  const { registry, start } = prepareLoop(t, namespaceDeletion);
  start();
  for (const name of ["ending", "other"]) {
    await registry.namespaces.create(namespace(name));
    const metadata = { name: "x", namespace: name };
    await registry.pods.create(pod("x", name).build());
    await Promise.all(
      [registry.configMaps, registry.secrets, registry.serviceAccounts, registry.leases].map((each) => each.create({ metadata })),
    );
  }
  await registry.namespaces.remove("", "ending");
  await eventually("the namespace is gone", () => registry.namespaces.cache.get("", "ending") === undefined);
  const { pods, configMaps, secrets, serviceAccounts, leases } = registry;
  const left = [pods, configMaps, secrets, serviceAccounts, leases].flatMap(({ cache }) =>
    [...cache.list()].map((object) => object.namespace),
  );
  assert.deepEqual(left, ["other", "other", "other", "other", "other"]);
});

test("the conditions name what is waited for, and the namespace goes when that has gone", async (t) => {
  const { registry, start } = prepareLoop(t, namespaceDeletion);
  start();
  await registry.namespaces.create(namespace("ending"));
  await registry.pods.create(pod("web", "ending").on("node-1").build());
  await registry.configMaps.create({ metadata: { name: "held", namespace: "ending", finalizers: ["example.com/keep"] } });
  await registry.namespaces.remove("", "ending");
  await eventually("it says what remains", () => conditionOf(registry, "ending", "NamespaceContentRemaining")?.status === "True");
  assert.equal(
    conditionOf(registry, "ending", "NamespaceContentRemaining")?.message,
    "Some resources are remaining: pods/web (ending on node node-1), configmaps/held (held by example.com/keep)",
  );
  assert.equal(
    conditionOf(registry, "ending", "NamespaceFinalizersRemaining")?.message,
    "Some objects wait for finalizers: example.com/keep on 1 object",
  );
  await registry.pods.remove("ending", "web", { graceSeconds: 0 });
  await eventually(
    "one is left",
    () => conditionOf(registry, "ending", "NamespaceContentRemaining")?.message?.includes("pods/web") === false,
  );
  await registry.configMaps.mutate("ending", "held", (map) => ({ ...map, metadata: { ...map.metadata, finalizers: [] } }));
  await eventually("the namespace is gone", () => registry.namespaces.cache.get("", "ending") === undefined);
});

test("what cannot be deleted is said, and tried again", async (t) => {
  const { registry, clock, start } = prepareLoop(t, namespaceDeletion);
  start();
  await registry.namespaces.create(namespace("ending"));
  await registry.secrets.create({ metadata: { name: "s", namespace: "ending" } });
  registry.secrets.beforeWrite = () => {
    throw new TesseraError("ServiceUnavailable", "etcd is away");
  };
  await registry.namespaces.remove("", "ending");
  await eventually("it is said", () => conditionOf(registry, "ending", "NamespaceDeletionContentFailure")?.status === "True");
  assert.equal(conditionOf(registry, "ending", "NamespaceDeletionContentFailure")?.message, "Failed to delete secrets/s: etcd is away");
  registry.secrets.beforeWrite = () => {};
  await eventually("the namespace is gone", () => {
    clock.advance(1_000);
    return registry.namespaces.cache.get("", "ending") === undefined;
  });
});

test("what slipped into a namespace that has gone is removed", async (t) => {
  const { registry, start } = prepareLoop(t, namespaceDeletion);
  start();
  await registry.configMaps.create({ metadata: { name: "late", namespace: "never-was" } });
  await eventually("it is removed", () => registry.configMaps.cache.size === 0);
});

test("a namespace in use is left alone", async (t) => {
  const { registry, start } = prepareLoop(t, namespaceDeletion);
  await registry.namespaces.create(namespace("active"));
  await registry.configMaps.create({ metadata: { name: "mine", namespace: "active" } });
  await registry.namespaces.create(namespace("ending"));
  start();
  await registry.namespaces.remove("", "ending");
  await eventually("the other is gone", () => registry.namespaces.cache.size === 1);
  assert.equal(registry.configMaps.cache.size, 1);
});

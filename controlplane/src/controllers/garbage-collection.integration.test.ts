import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { ConfigMap, OwnerReference } from "@tessera/proto";
import { TestControlPlane } from "../nodes/testing/test-control-plane.ts";
import { systemClock } from "./clock.ts";
import { garbageCollection } from "./garbage-collection.ts";
import { eventually, RecordedEvents, silentLog } from "./testing/fakes.ts";

/*
 * On the real store, since what finalizers hold and what they let go is its part of the matter. Each test has names of its own.
 */

let plane: TestControlPlane;
let stop: () => Promise<void>;
before(async () => {
  plane = await TestControlPlane.start();
  stop = start();
});
after(async () => {
  await stop();
  await plane[Symbol.asyncDispose]();
});

/** Runs the controller; returns what ends it. */
function start(): () => Promise<void> {
  const ended = new AbortController();
  const deps = { registry: plane.registry, clock: systemClock, events: new RecordedEvents(), log: silentLog, clusterCaPem: "PEM" };
  const running = garbageCollection(deps).run(ended.signal);
  return async () => {
    ended.abort();
    await running;
  };
}

const namespace = "default";

/** Resolves when the cache has seen it, so that who is not in the cache afterwards is gone. */
async function make(name: string, owners: readonly OwnerReference[] = [], finalizers: readonly string[] = []): Promise<ConfigMap> {
  const metadata = { name, namespace, ownerReferences: [...owners], finalizers: [...finalizers] };
  const made = await plane.registry.configMaps.create({ metadata });
  await plane.registry.configMaps.cache.waitFor(Number(made.metadata?.resourceVersion));
  return made;
}

function by(owner: ConfigMap, more: Partial<OwnerReference> = {}): OwnerReference {
  return { apiVersion: "v1", kind: "ConfigMap", name: owner.metadata?.name, uid: owner.metadata?.uid, ...more };
}

const cached = (name: string) => plane.registry.configMaps.cache.get(namespace, name)?.value;
const isThere = (name: string) => cached(name) !== undefined;
const gone = (...names: string[]) => eventually(`${names.join()} gone`, () => !names.some(isThere));
const remove = (name: string, propagation?: "Background" | "Foreground" | "Orphan") =>
  plane.registry.configMaps.remove(namespace, name, propagation === undefined ? {} : { propagation });
const isLeaving = (name: string) => cached(name)?.metadata?.deletionTimestamp !== undefined;

async function dropFinalizers(name: string): Promise<void> {
  await plane.registry.configMaps.mutate(namespace, name, (map) => ({ ...map, metadata: { ...map.metadata, finalizers: [] } }));
}

/** Everything that the controller does for what has happened until now is done when it has done this. */
async function settled(): Promise<void> {
  const owner = await make("probe-owner");
  await make("probe", [by(owner)]);
  await remove("probe-owner");
  await gone("probe-owner", "probe");
}

test("what is owned goes after its owner, and what that owns after it", async () => {
  const owner = await make("background");
  const child = await make("background-child", [by(owner)]);
  await make("background-grandchild", [by(child)]);
  await make("background-stranger");
  await remove("background", "Background");
  await gone("background", "background-child", "background-grandchild");
  assert.equal(isThere("background-stranger"), true);
});

test("who keeps another owner only loses the one that went", async () => {
  const [first, second] = [await make("first"), await make("second")];
  await make("shared", [by(first), by(second)]);
  await remove("first");
  await eventually("the reference is gone", () => cached("shared")?.metadata?.ownerReferences?.length === 1);
  assert.deepEqual(cached("shared")?.metadata?.ownerReferences, [by(second)]);
  await remove("second");
  await gone("shared");
});

test("an owner that is another object by that name is none", async () => {
  const owner = await make("namesake");
  await make("misled", [by(owner, { uid: "11111111-2222-3333-4444-555555555555" })]);
  await gone("misled");
  assert.equal(isThere("namesake"), true);
});

test("owners of kinds that are not served here are nobody's business, owners of the cluster count", async () => {
  await plane.registry.nodes.create({ metadata: { name: "owner" } });
  const node = plane.registry.nodes.cache.get("", "owner") ?? (await plane.registry.nodes.read("", "owner"));
  await make("of-node", [{ apiVersion: "v1", kind: "Node", name: "owner", uid: node.uid }]);
  await make("of-set", [{ apiVersion: "apps/v1", kind: "ReplicaSet", name: "x", uid: "1" }]);
  await settled();
  assert.equal(isThere("of-node") && isThere("of-set"), true);
  await plane.registry.nodes.remove("", "owner");
  await gone("of-node");
  assert.equal(isThere("of-set"), true);
});

test("an owner that is deleted in the foreground waits for those that block it, and for no others", async () => {
  const owner = await make("foreground");
  await make("blocking", [by(owner, { blockOwnerDeletion: true })], ["example.com/a"]);
  await make("not-blocking", [by(owner)], ["example.com/a"]);
  await remove("foreground", "Foreground");
  await eventually("both are asked to go", () => isLeaving("blocking") && isLeaving("not-blocking"));
  await settled();
  assert.deepEqual(cached("foreground")?.metadata?.finalizers, ["foregroundDeletion"]);
  await dropFinalizers("blocking");
  await gone("foreground", "blocking");
  assert.equal(isThere("not-blocking"), true);
  await dropFinalizers("not-blocking");
});

test("the foreground reaches down to the last dependent before the first goes", async () => {
  const owner = await make("top");
  const middle = await make("middle", [by(owner, { blockOwnerDeletion: true })]);
  await make("bottom", [by(middle, { blockOwnerDeletion: true })], ["example.com/a"]);
  await remove("top", "Foreground");
  await eventually("the last is asked to go", () => isLeaving("bottom"));
  await settled();
  assert.deepEqual([isLeaving("top"), isLeaving("middle")], [true, true]);
  await dropFinalizers("bottom");
  await gone("top", "middle", "bottom");
});

test("a circle of owners goes in the foreground, too", async () => {
  const one = await make("one");
  const other = await make("other", [by(one, { blockOwnerDeletion: true })]);
  await plane.registry.configMaps.mutate(namespace, "one", (map) => ({
    ...map,
    metadata: { ...map.metadata, ownerReferences: [by(other, { blockOwnerDeletion: true })] },
  }));
  await remove("one", "Foreground");
  await gone("one", "other");
});

test("orphans stay and forget their owner", async () => {
  const owner = await make("parent");
  await make("orphan", [by(owner)]);
  await remove("parent", "Orphan");
  await gone("parent");
  await settled();
  assert.equal(cached("orphan")?.metadata?.ownerReferences, undefined);
});

test("what went while nobody looked is made up for at the start", async () => {
  const owner = await make("unseen");
  await make("left-behind", [by(owner)]);
  await stop();
  await remove("unseen");
  await gone("unseen");
  assert.equal(isThere("left-behind"), true);
  stop = start();
  await gone("left-behind");
});

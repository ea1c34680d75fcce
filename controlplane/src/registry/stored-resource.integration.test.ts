import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { type ConfigMap, TesseraError } from "@tessera/proto";
import { pino } from "pino";
import { startTestEtcd, type TestEtcd } from "../embedded/testing.ts";
import type { CachedObject, ResourceCache } from "../store/cache.ts";
import { EtcdClient } from "../store/etcd-client.ts";
import { EtcdStore } from "../store/etcd-store.ts";
import type { Store } from "../store/store.ts";
import { WatchCache } from "../store/watch-cache.ts";
import { createSystemNamespaces } from "./bootstrap.ts";
import { definitions } from "./definitions.ts";
import { StoredRegistry } from "./stored-registry.ts";
import { StoredResource } from "./stored-resource.ts";

let etcd: TestEtcd;
let store: EtcdStore;
let registry: StoredRegistry;
const stop = new AbortController();
const cleanup = new AsyncDisposableStack();

before(async () => {
  etcd = cleanup.use(await startTestEtcd());
  const client = new EtcdClient(etcd.endpoints);
  cleanup.defer(() => client.close());
  store = new EtcdStore({ client });
  const caches = new WatchCache({ client, log: pino({ level: "silent" }) });
  const running = caches.run(stop.signal);
  cleanup.defer(async () => {
    stop.abort();
    await running;
  });
  await caches.ready;
  registry = new StoredRegistry({ store, caches });
  await createSystemNamespaces(registry);
});
after(() => cleanup.disposeAsync());

function configMap(name: string, data: { [key: string]: string } = {}): ConfigMap {
  return { metadata: { name, namespace: "default" }, data };
}

/** A resource whose cache stands still at what it was given. */
function withStaleCache(...objects: CachedObject<ConfigMap>[]): StoredResource<ConfigMap> {
  const get = (_namespace: string, name: string) => objects.find((object) => object.name === name);
  const cache = { get } as unknown as ResourceCache<ConfigMap>;
  return new StoredResource({ definition: definitions.configMaps, store, cache, now: Date.now });
}

function isReason(reason: TesseraError["reason"], text = /./) {
  return (error: unknown) => error instanceof TesseraError && error.reason === reason && text.test(error.message);
}

test("what is created is frozen, identified, and at its version", async () => {
  const created = await registry.configMaps.create(configMap("made"));
  assert.ok(Object.isFrozen(created) && Object.isFrozen(created.metadata));
  assert.match(created.metadata?.uid ?? "", /-/);
  assert.equal(created.metadata?.resourceVersion, String((await registry.configMaps.read("default", "made")).revision));
});

test("a generated name that is taken is made anew, some times over, a given one is not", async () => {
  const tried: string[] = [];
  /** Every name is taken until so many were tried. */
  const crowded = (free: number) => {
    const create = async (key: string, value: Buffer) => {
      tried.push(key);
      if (tried.length < free) throw new TesseraError("AlreadyExists", `${key} exists`);
      return await store.create(key, value);
    };
    const cache = { get: () => undefined } as unknown as ResourceCache<ConfigMap>;
    return new StoredResource({ definition: definitions.configMaps, store: { create } as unknown as Store, cache, now: Date.now });
  };
  const generated = { metadata: { namespace: "default", generateName: "crowded-" } };
  const made = await crowded(4).create(generated);
  assert.match(made.metadata?.name ?? "", /^crowded-[a-z0-9]{5}$/);
  assert.deepEqual([tried.length, new Set(tried).size], [4, 4]);
  tried.length = 0;
  await assert.rejects(crowded(100).create(generated), isReason("AlreadyExists", /configmaps "crowded-.*" already exists/));
  assert.equal(tried.length, 8);
  tried.length = 0;
  await assert.rejects(crowded(2).create(configMap("given")), isReason("AlreadyExists"));
  assert.equal(tried.length, 1);
});

test("stored bytes begin with apiVersion, kind and metadata, and hold no version", async () => {
  await registry.configMaps.create({ data: { a: "1" }, metadata: { namespace: "default", name: "bytes" } });
  const versioned = await store.read("/registry/configmaps/default/bytes");
  assert.match(versioned?.value.toString() ?? "", /^\{"apiVersion":"v1","kind":"ConfigMap","metadata":\{"name":"bytes",/);
  assert.doesNotMatch(versioned?.value.toString() ?? "", /resourceVersion/);
});

test("a decision on a stale state is made again on the newest", async () => {
  await registry.configMaps.create(configMap("stale", { n: "0" }));
  const old = await registry.configMaps.read("default", "stale");
  await registry.configMaps.mutate("default", "stale", (current) => ({ ...current, data: { n: "1" } }));
  const seen: (string | undefined)[] = [];
  const next = await withStaleCache(old).mutate("default", "stale", (current) => {
    seen.push(current.data?.["n"]);
    return { ...current, data: { n: `${current.data?.["n"]}+` } };
  });
  assert.deepEqual([seen, next.data], [["0", "1"], { n: "1+" }]);
});

test("neither an error nor 'nothing to do' is believed when it came from a stale state", async () => {
  await registry.configMaps.create(configMap("doubt", { n: "0" }));
  const old = await registry.configMaps.read("default", "doubt");
  await registry.configMaps.mutate("default", "doubt", (current) => ({ ...current, data: { n: "1" } }));
  const stale = withStaleCache(old);
  const unchanged = await stale.mutate("default", "doubt", (current) =>
    current.data?.["n"] === "0" ? undefined : { ...current, data: { n: "2" } },
  );
  assert.deepEqual(unchanged.data, { n: "2" });
  const careful = await withStaleCache(old).mutate("default", "doubt", (current) => {
    if (current.data?.["n"] === "0") throw new Error("too early");
    return undefined;
  });
  assert.deepEqual(careful.data, { n: "2" });
  await assert.rejects(
    stale.mutate("default", "doubt", () => {
      throw new Error("really");
    }),
    /really/,
  );
});

test("what the cache still has and the store has not is NotFound", async () => {
  await registry.configMaps.create(configMap("gone"));
  const old = await registry.configMaps.read("default", "gone");
  await registry.configMaps.remove("default", "gone");
  const stale = withStaleCache(old);
  await assert.rejects(
    stale.mutate("default", "gone", (current) => ({ ...current, data: { a: "1" } })),
    isReason("NotFound", /configmaps "gone" not found/),
  );
  await assert.rejects(stale.remove("default", "gone"), isReason("NotFound"));
});

test("another object by the same name is not the one that was meant", async () => {
  await registry.configMaps.create(configMap("twin"));
  await assert.rejects(
    registry.configMaps.mutate("default", "twin", () => undefined, { uid: "other" }),
    isReason("NotFound"),
  );
  await assert.rejects(registry.configMaps.remove("default", "twin", { uid: "other" }), isReason("Conflict", /UID in precondition: other/));
});

test("changes at once all count", async () => {
  await registry.configMaps.create(configMap("counted", { n: "0" }));
  const increment = () =>
    registry.configMaps.mutate("default", "counted", (current) => ({ ...current, data: { n: String(Number(current.data?.["n"]) + 1) } }));
  for (let round = 0; round < 5; round++) await Promise.all(Array.from({ length: 8 }, increment));
  assert.deepEqual((await registry.configMaps.read("default", "counted")).value.data, { n: "40" });
});

test("a change that changes nothing writes nothing", async () => {
  const created = await registry.configMaps.create(configMap("idle", { a: "1" }));
  const same = await registry.configMaps.mutate("default", "idle", (current) => ({ data: { ...current.data }, ...current }));
  assert.equal(same.metadata?.resourceVersion, created.metadata?.resourceVersion);
});

test("generation counts wishes, not what becomes of them", async () => {
  await registry.pods.create({ metadata: { name: "g", namespace: "default" }, spec: { containers: [{ name: "a", image: "b" }] } });
  const { mutate } = { mutate: registry.pods.mutate.bind(registry.pods, "default", "g") };
  assert.equal((await mutate((pod) => ({ ...pod, status: { phase: "Running" } }))).metadata?.generation, 1);
  assert.equal((await mutate((pod) => ({ ...pod, spec: { ...pod.spec, nodeName: "n" } }))).metadata?.generation, 1);
  assert.equal((await mutate((pod) => ({ ...pod, spec: { ...pod.spec, activeDeadlineSeconds: 5 } }))).metadata?.generation, 2);
});

test("giving up the last hold on a deleted object removes it", async () => {
  await registry.configMaps.create({ metadata: { name: "released", namespace: "default", finalizers: ["example.com/a"] } });
  await registry.configMaps.remove("default", "released");
  assert.notEqual((await registry.configMaps.read("default", "released")).value.metadata?.deletionTimestamp, undefined);
  const last = await registry.configMaps.mutate("default", "released", (current) => ({
    ...current,
    metadata: { ...current.metadata, finalizers: [] },
  }));
  assert.equal(last.metadata?.name, "released");
  await assert.rejects(registry.configMaps.read("default", "released"), isReason("NotFound"));
});

test("system namespaces exist, and are made once", async () => {
  await createSystemNamespaces(registry);
  for (const name of ["default", "kube-system", "kube-public", "kube-node-lease"]) {
    assert.equal((await registry.namespaces.read("", name)).value.status?.phase, "Active");
  }
});

test("what parts of the control plane create is validated too", async () => {
  await assert.rejects(registry.configMaps.create(configMap("Bad Name")), isReason("Invalid", /metadata\.name: Invalid value: "Bad Name"/));
  await assert.rejects(
    registry.configMaps.create({ metadata: { name: "a", namespace: "nowhere" } }),
    isReason("NotFound", /namespaces "nowhere"/),
  );
});

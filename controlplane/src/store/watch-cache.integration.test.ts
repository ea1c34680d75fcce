import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { TesseraError } from "@tessera/proto";
import { pino } from "pino";
import { startTestEtcd, type TestEtcd } from "../embedded/testing.ts";
import type { CacheEvent, ResourceCache } from "./cache.ts";
import { compact } from "./compaction.testing.ts";
import { EtcdClient } from "./etcd-client.ts";
import { EtcdStore } from "./etcd-store.ts";
import { etcdRevision } from "./revision.ts";
import { TcpProxy } from "./tcp-proxy.testing.ts";
import { WatchCache, type WatchCacheDependencies } from "./watch-cache.ts";

interface Thing {
  metadata: { resourceVersion: string; namespace?: string; name: string; uid: string };
  size: number;
  filler?: string;
}

const log = pino({ level: "silent" });

function stored(name: string, size: number, filler = ""): Buffer {
  return Buffer.from(
    JSON.stringify({ apiVersion: "v1", kind: "Thing", metadata: { name, namespace: "default", uid: `uid-${name}` }, size, filler }),
  );
}

/** A cache that runs until the end of the scope. */
function runCache(options: Omit<WatchCacheDependencies, "log">): { cache: WatchCache; things: ResourceCache<Thing> } & AsyncDisposable {
  const cache = new WatchCache({ log, ...options });
  const stop = new AbortController();
  const things = cache.cacheOf<Thing>("things");
  const running = cache.run(stop.signal);
  return {
    cache,
    things,
    [Symbol.asyncDispose]: async () => {
      stop.abort();
      await running;
    },
  };
}

/** What listeners and a watcher were told, checked for what both promise. */
class Told {
  readonly events: CacheEvent<Thing>[] = [];
  readonly state: Map<string, number>;

  constructor(known: readonly (readonly [string, number])[] = []) {
    this.state = new Map(known);
  }

  add(event: CacheEvent<Thing>): void {
    const { name, revision } = event.object;
    const last = this.events.at(-1);
    assert.ok(last === undefined || last.object.revision <= revision, `order: ${last?.object.revision} before ${revision}`);
    const known = this.state.get(name);
    assert.equal(event.type === "ADDED", known === undefined, `${event.type} of ${name}, which ${known ? "was" : "was not"} there`);
    assert.ok(revision > (known ?? 0), `${name} went from ${known} to ${revision}`);
    assert.equal(event.previous?.revision, known);
    if (event.type === "DELETED") this.state.delete(name);
    else this.state.set(name, revision);
    this.events.push(event);
  }

  summary(): string[] {
    return this.events.map(({ type, object }) => `${type} ${object.name} ${object.value.size}`);
  }
}

/** Watches until `count` events have come. */
async function collect(things: ResourceCache<Thing>, from: number, count: number, told = new Told()): Promise<Told> {
  const signal = AbortSignal.timeout(30_000);
  for await (const events of things.watch(from, signal)) {
    for (const event of events) told.add(event);
    if (told.events.length >= count) return told;
  }
  assert.fail(`only ${told.events.length} of ${count} events: ${told.summary().join(", ")}`);
}

async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!condition()) {
    assert.ok(Date.now() < deadline, `in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

function isExpired(error: unknown): boolean {
  return error instanceof TesseraError && error.reason === "Expired";
}

describe("WatchCache", () => {
  let etcd: TestEtcd;
  let client: EtcdClient;
  let store: EtcdStore;
  /** Every test has a prefix of its own in the one etcd. */
  let prefix = "";
  let tests = 0;

  before(async () => {
    etcd = await startTestEtcd();
    client = new EtcdClient(etcd.endpoints);
    store = new EtcdStore({ client });
  });

  after(async () => {
    client.close();
    await etcd[Symbol.asyncDispose]();
  });

  const key = (name: string): string => `${prefix}things/default/${name}`;
  const isolated = (name: string, run: () => Promise<void>): void => {
    test(name, async () => {
      prefix = `/test-${++tests}/`;
      await run();
    });
  };
  const start = (options: Partial<WatchCacheDependencies> = {}): ReturnType<typeof runCache> => runCache({ client, prefix, ...options });

  isolated("objects found at start are there, in order, and announced as ADDED", async () => {
    const revision = await store.create(key("b"), stored("b", 1));
    await store.create(key("a"), stored("a", 1));
    await store.create(`${prefix}nodes/node-1`, stored("node-1", 1));
    await using running = start();
    const { things, cache } = running;
    const told = new Told();
    things.onChange((event) => told.add(event));
    await cache.ready;
    assert.deepEqual(
      [...things.list()].map((o) => o.name),
      ["a", "b"],
    );
    assert.deepEqual([...things.list("elsewhere")], []);
    assert.deepEqual(told.summary(), ["ADDED b 1", "ADDED a 1"]);
    const b = things.get("default", "b");
    assert.equal(b?.revision, revision);
    assert.equal(b?.uid, "uid-b");
    assert.equal(b?.value.metadata.resourceVersion, String(revision));
    assert.equal(cache.cacheOf<Thing>("nodes").get("", "node-1")?.value.size, 1);
  });

  isolated("a change is seen once the cache has come to its version", async () => {
    await using running = start();
    const { things, cache } = running;
    await cache.ready;
    const created = await store.create(key("a"), stored("a", 1));
    await things.waitFor(created);
    assert.equal(things.get("default", "a")?.revision, created);
    const updated = await store.update(key("a"), stored("a", 2), created);
    await things.waitFor(updated);
    assert.equal(things.get("default", "a")?.value.size, 2);
    const removed = await store.remove(key("a"), updated);
    await things.waitFor(removed);
    assert.equal(things.get("default", "a"), undefined);
    assert.equal(things.size, 0);
  });

  isolated("a watch tells the history in order, and the deletion with its own version", async () => {
    await using running = start();
    const { things, cache } = running;
    await cache.ready;
    const from = things.revision;
    const created = await store.create(key("a"), stored("a", 1));
    const updated = await store.update(key("a"), stored("a", 2), created);
    const removed = await store.remove(key("a"), updated);
    const told = await collect(things, from, 3);
    assert.deepEqual(told.summary(), ["ADDED a 1", "MODIFIED a 2", "DELETED a 2"]);
    const last = told.events[2]?.object;
    assert.equal(last?.revision, removed);
    assert.equal(JSON.parse(String(last?.bytes)).metadata.resourceVersion, String(removed));
    const resumed = await collect(things, created, 2, new Told([["a", created]]));
    assert.deepEqual(resumed.summary(), ["MODIFIED a 2", "DELETED a 2"]);
  });

  isolated("who resumes from an object that was written together with others gets those others", async () => {
    await using running = start();
    const { things, cache } = running;
    await cache.ready;
    const from = things.revision;
    const versions = await Promise.all(Array.from({ length: 30 }, (_, i) => store.create(key(`x${i}`), stored(`x${i}`, i))));
    const shared = versions.at(-1) as number;
    const together = versions.filter((v) => v === shared).length;
    assert.ok(together > 1);
    await things.waitFor(Math.max(...versions));
    const all = await collect(things, from, 30);
    assert.equal(all.state.size, 30);
    // The connection broke in the midst of the group: the last event received has the version of the whole group.
    const resumed = await collect(things, shared, together);
    assert.equal(resumed.events.filter((event) => event.object.revision === shared).length, together);
  });

  isolated("a watch waits for a version that is still to come", async () => {
    await using running = start();
    const { things, cache } = running;
    await cache.ready;
    const next = things.revision + 2;
    const watching = collect(things, next, 1);
    await store.create(key("a"), stored("a", 1));
    await store.create(key("b"), stored("b", 1));
    assert.deepEqual((await watching).summary(), ["ADDED b 1"]);
  });

  isolated("an aborted watch ends without an error", async () => {
    await using running = start();
    const { things, cache } = running;
    await cache.ready;
    const stop = new AbortController();
    const watching = (async () => {
      for await (const events of things.watch(things.revision, stop.signal)) assert.fail(String(events.length));
    })();
    stop.abort();
    await watching;
  });

  isolated("a slow watcher is cut with Expired when the history has passed it by", async () => {
    await using running = start({ history: { events: 16, bytes: 1_000_000 } });
    const { things, cache } = running;
    await cache.ready;
    const watcher = things.watch(things.revision, AbortSignal.timeout(30_000))[Symbol.asyncIterator]();
    const first = watcher.next();
    await store.create(key("first"), stored("first", 0));
    assert.equal((await first).value?.length, 1);
    let version = 0;
    for (let i = 0; i < 40; i++) version = await store.create(key(`x${i}`), stored(`x${i}`, i));
    await things.waitFor(version);
    await assert.rejects(watcher.next(), isExpired);
  });

  isolated("a failing listener does not keep the others from being told", async () => {
    await using running = start();
    const { things, cache } = running;
    await cache.ready;
    const told = new Told();
    things.onChange(() => {
      throw new Error("bad listener");
    });
    const unsubscribe = things.onChange((event) => told.add(event));
    await things.waitFor(await store.create(key("a"), stored("a", 1)));
    unsubscribe();
    await things.waitFor(await store.create(key("b"), stored("b", 1)));
    assert.deepEqual(told.summary(), ["ADDED a 1"]);
  });

  isolated("waitFor comes to a version that was made outside of the prefix, and gives up at its deadline", async () => {
    await using running = start();
    const { things, cache } = running;
    await cache.ready;
    await things.waitFor(await store.create("/outside/a", stored("a", 1)));
    await assert.rejects(things.waitFor(things.revision + 1_000, { timeoutMs: 20 }), (error: unknown) => {
      assert.ok(error instanceof TesseraError);
      return error.reason === "Timeout" && /has not come to \d+ within 20 ms/.test(error.message);
    });
    const stop = new AbortController();
    const waiting = things.waitFor(things.revision + 1_000, { signal: stop.signal });
    stop.abort();
    await assert.rejects(waiting, { name: "AbortError" });
  });

  isolated("what is not an object of the API is ignored", async () => {
    await store.create(key("garbage"), Buffer.from("no json"));
    await store.create(`${prefix}things/default/too/deep`, stored("deep", 1));
    await store.create(`${prefix}lonely`, stored("lonely", 1));
    await store.create(key("good"), stored("good", 1));
    await using running = start();
    await running.cache.ready;
    await running.things.waitFor(await store.create(key("later"), stored("later", 1)));
    assert.deepEqual(
      [...running.things.list()].map((o) => o.name),
      ["good", "later"],
    );
  });

  isolated("a connection that is cut again and again loses and doubles nothing", async () => {
    await using proxy = await TcpProxy.to(etcd.url);
    const through = new EtcdClient({ endpoints: [proxy.url] });
    await using running = runCache({ client: through, prefix });
    const { things, cache } = running;
    const told = new Told();
    things.onChange((event) => told.add(event));
    await cache.ready;
    const from = things.revision;
    const watched = collect(things, from, 300);
    let version = 0;
    for (let i = 0; i < 100; i++) {
      const created = await store.create(key(`x${i}`), stored(`x${i}`, i));
      version = await store.remove(key(`x${i}`), await store.update(key(`x${i}`), stored(`x${i}`, i + 1), created));
      if (i % 9 === 0) proxy.cut();
    }
    await things.waitFor(version, { timeoutMs: 30_000 });
    assert.equal(told.events.length, 300);
    assert.deepEqual((await watched).summary(), told.summary());
    through.close();
  });

  isolated("a catch-up far above gRPC's message limit arrives", async () => {
    await using proxy = await TcpProxy.to(etcd.url);
    const through = new EtcdClient({ endpoints: [proxy.url] });
    await using running = runCache({ client: through, prefix });
    const { things, cache } = running;
    await cache.ready;
    proxy.refuse();
    const filler = "x".repeat(1_300_000);
    let version = 0;
    for (let i = 0; i < 8; i++) version = await store.create(key(`big${i}`), stored(`big${i}`, i, filler));
    proxy.cut();
    await things.waitFor(version, { timeoutMs: 30_000 });
    assert.equal(things.size, 8);
    assert.equal(things.get("default", "big7")?.value.filler?.length, filler.length);
    through.close();
  });

  isolated("after a compaction the differences are told, exactly", async () => {
    await using proxy = await TcpProxy.to(etcd.url);
    const through = new EtcdClient({ endpoints: [proxy.url] });
    await using running = runCache({ client: through, prefix });
    const { things, cache } = running;
    const told = new Told();
    things.onChange((event) => told.add(event));
    const versions = new Map<string, number>();
    for (const name of ["kept", "changed", "gone", "replaced"]) versions.set(name, await store.create(key(name), stored(name, 1)));
    const version = (name: string): number => versions.get(name) as number;
    await cache.ready;
    await things.waitFor(version("replaced"));
    told.events.length = 0;
    const from = things.revision;
    const watching = collect(things, from, 5, new Told([...told.state]));

    proxy.refuse();
    const changed = await store.update(key("changed"), stored("changed", 2), version("changed"));
    await store.update(key("changed"), stored("changed", 3), changed);
    await store.remove(key("gone"), version("gone"));
    await store.remove(key("replaced"), version("replaced"));
    await store.create(key("replaced"), stored("replaced", 9));
    const short = await store.create(key("short"), stored("short", 1));
    await store.remove(key("short"), short);
    const last = await store.create(key("new"), stored("new", 1));
    await compact(etcd, etcdRevision(last));
    proxy.cut();

    await things.waitFor(last, { timeoutMs: 30_000 });
    const expected = ["DELETED gone 1", "DELETED replaced 1", "MODIFIED changed 3", "ADDED replaced 9", "ADDED new 1"];
    assert.deepEqual(told.summary(), expected);
    assert.deepEqual((await watching).summary(), expected, "a watcher that had everything goes on");
    await assert.rejects(collect(things, from, 1), isExpired, "a new one cannot begin before the gap");
    await assert.rejects(collect(things, changed, 1), isExpired, "nor within it");
    through.close();
  });

  isolated("a watch that etcd has forgotten while its connection lives is noticed", async () => {
    await using proxy = await TcpProxy.to(etcd.url);
    // No pings: only the canary can tell.
    const through = new EtcdClient({ endpoints: [proxy.url], keepaliveMs: 600_000, callTimeoutMs: 500 });
    await using running = runCache({ client: through, prefix, silenceMs: 100, patienceMs: 300 });
    const { things, cache } = running;
    await cache.ready;
    await things.waitFor(await store.create(key("a"), stored("a", 1)));
    proxy.freezeNewest();
    const version = await store.create(key("b"), stored("b", 1));
    await things.waitFor(version, { timeoutMs: 8_000 });
    assert.ok(things.get("default", "b"));
    through.close();
  });
});

describe("WatchCache and an etcd that dies", () => {
  test("kill -9 in the midst of writes: no event is lost or doubled", async () => {
    await using etcd = await startTestEtcd();
    const client = new EtcdClient(etcd.endpoints);
    const store = new EtcdStore({ client });
    await using running = runCache({ client });
    const { things, cache } = running;
    const told = new Told();
    things.onChange((event) => told.add(event));
    await cache.ready;
    const watched = new Told();
    const stop = new AbortController();
    const watching = (async () => {
      for await (const events of things.watch(things.revision, stop.signal)) for (const event of events) watched.add(event);
    })();

    let writing = true;
    let count = 0;
    let newest = 0;
    const writers = Array.from({ length: 16 }, async (_, writer) => {
      let version: number | undefined;
      for (let i = 0; writing; i++) {
        const name = `w${writer}`;
        const path = `/registry/things/default/${name}`;
        // Every outcome is known, since etcd comes back within the store's patience: anything but success fails the test.
        if (version === undefined) version = await store.create(path, stored(name, i));
        else if (i % 10 === 9) {
          await store.remove(path, version);
          version = undefined;
        } else version = await store.update(path, stored(name, i), version);
        count++;
        newest = Math.max(newest, version ?? 0);
      }
    });
    for (let kills = 0; kills < 3; kills++) {
      const before = count;
      await until(() => count > before + 200, "writes before the kill");
      await etcd.kill();
      await etcd.restart();
    }
    const before = count;
    await until(() => count > before + 200, "writes after the last restart");
    writing = false;
    await Promise.all(writers);
    await things.waitFor(await store.currentRevision(), { timeoutMs: 30_000 });
    await until(() => watched.events.length >= told.events.length, "the watcher");
    stop.abort();
    await watching;

    assert.equal(told.events.length, count, "an event per acknowledged write");
    assert.deepEqual(watched.summary(), told.summary());
    const page = await store.readPage("/registry/things/", { limit: 0, revision: 0 });
    assert.deepEqual(
      [...things.list()].map((o) => [o.name, o.revision]),
      page.items.map((item) => [item.key.split("/").at(-1), item.revision]),
    );
    client.close();
  });

  test("an etcd that comes back with an older state is believed", async () => {
    await using etcd = await startTestEtcd();
    const client = new EtcdClient(etcd.endpoints);
    const store = new EtcdStore({ client });
    await store.create("/registry/things/default/old", stored("old", 1));
    await using running = runCache({ client });
    const { things, cache } = running;
    await cache.ready;
    for (let i = 0; i < 20; i++) await store.create(`/registry/things/default/lost${i}`, stored(`lost${i}`, 1));
    await things.waitFor(await store.currentRevision());
    assert.equal(things.size, 21);
    await etcd.kill();
    await etcd.wipe();
    await etcd.restart();
    await store.create("/registry/things/default/other", stored("other", 1));
    await until(() => things.size === 1, "the listing of the new state");
    assert.deepEqual(
      [...things.list()].map((o) => o.name),
      ["other"],
    );
    await things.waitFor(await store.create("/registry/things/default/more", stored("more", 1)));
    assert.equal(things.size, 2);
    client.close();
  });
});

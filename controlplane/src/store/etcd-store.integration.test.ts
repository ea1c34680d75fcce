import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { TesseraError } from "@tessera/proto";
import { startTestEtcd, type TestEtcd } from "../embedded/testing.ts";
import { compact, makeRoom } from "./compaction.testing.ts";
import { EtcdClient } from "./etcd-client.ts";
import { EtcdStore } from "./etcd-store.ts";
import { TcpProxy } from "./tcp-proxy.testing.ts";

const bytes = (text: string): Buffer => Buffer.from(text);

function refusal(reason: TesseraError["reason"], message: RegExp) {
  return (error: unknown): boolean => {
    assert.ok(error instanceof TesseraError, String(error));
    assert.equal(error.reason, reason, error.message);
    assert.match(error.message, message);
    return true;
  };
}

describe("EtcdStore", () => {
  let etcd: TestEtcd;
  let client: EtcdClient;
  let store: EtcdStore;

  before(async () => {
    etcd = await startTestEtcd();
    client = new EtcdClient(etcd.endpoints);
    store = new EtcdStore({ client });
  });

  after(async () => {
    await store.close();
    client.close();
    await etcd[Symbol.asyncDispose]();
  });

  test("a created object is read with the version that its creation returned", async () => {
    const revision = await store.create("/t/a", bytes("one"));
    assert.deepEqual(await store.read("/t/a"), { key: "/t/a", value: bytes("one"), revision });
    assert.equal(await store.read("/t/absent"), undefined);
  });

  test("creating what exists is AlreadyExists and leaves it alone", async () => {
    await store.create("/t/twice", bytes("first"));
    await assert.rejects(store.create("/t/twice", bytes("second")), refusal("AlreadyExists", /\/t\/twice already exists/));
    assert.deepEqual((await store.read("/t/twice"))?.value, bytes("first"));
  });

  test("an update from an old version is a Conflict that names both versions", async () => {
    const first = await store.create("/t/conflict", bytes("1"));
    const second = await store.update("/t/conflict", bytes("2"), first);
    assert.ok(second > first);
    await assert.rejects(store.update("/t/conflict", bytes("3"), first), refusal("Conflict", new RegExp(`at ${second}, not at ${first}`)));
    await assert.rejects(store.remove("/t/conflict", first), refusal("Conflict", /\/t\/conflict/));
  });

  test("the version of a list is no object's version, so an update with it is a Conflict", async () => {
    await store.create("/t/listed", bytes("1"));
    await assert.rejects(store.update("/t/listed", bytes("2"), await store.currentRevision()), refusal("Conflict", /\/t\/listed/));
  });

  test("a removed object is gone, and changing it is NotFound", async () => {
    const first = await store.create("/t/removed", bytes("1"));
    const gone = await store.remove("/t/removed", first);
    assert.ok(gone > first);
    assert.equal(await store.read("/t/removed"), undefined);
    await assert.rejects(store.update("/t/removed", bytes("2"), first), refusal("NotFound", /\/t\/removed not found/));
    await assert.rejects(store.remove("/t/removed", first), refusal("NotFound", /\/t\/removed not found/));
  });

  test("writers that wait together each get their own outcome", async () => {
    const old = await store.create("/g/stale", bytes("0"));
    await store.update("/g/stale", bytes("1"), old);
    const writers = [
      ...Array.from({ length: 200 }, (_, i) => store.create(`/g/${i}`, bytes(String(i)))),
      store.create("/g/7", bytes("late")),
      store.update("/g/stale", bytes("2"), old),
      store.remove("/g/absent", old),
    ];
    const outcomes = await Promise.allSettled(writers);
    const reasons = outcomes.slice(200).map((o) => (o.status === "rejected" ? (o.reason as TesseraError).reason : "done"));
    assert.deepEqual(reasons, ["AlreadyExists", "Conflict", "NotFound"]);
    assert.ok(outcomes.slice(0, 200).every((o) => o.status === "fulfilled"));
    const versions = new Set(outcomes.slice(0, 200).map((o) => (o.status === "fulfilled" ? o.value : 0)));
    assert.ok(versions.size <= 4, `200 writers that wait are ${versions.size} transactions`);
    assert.deepEqual((await store.read("/g/7"))?.value, bytes("7"));
  });

  test("of many writers of one version exactly one succeeds", async () => {
    const version = await store.create("/g/contended", bytes("start"));
    const outcomes = await Promise.allSettled(Array.from({ length: 50 }, (_, i) => store.update("/g/contended", bytes(`${i}`), version)));
    assert.equal(outcomes.filter((o) => o.status === "fulfilled").length, 1);
    const losers = outcomes.filter((o) => o.status === "rejected").map((o) => (o.reason as TesseraError).reason);
    assert.deepEqual(new Set(losers), new Set(["Conflict"]));
  });

  test("a writer with too large a value fails alone", async () => {
    const outcomes = await Promise.allSettled([
      store.create("/g/before", bytes("x")),
      store.create("/g/small-1", bytes("x")),
      store.create("/g/huge", Buffer.alloc(2 * 1024 * 1024)),
      store.create("/g/small-2", bytes("x")),
      ...Array.from({ length: 8 }, (_, i) => store.create(`/g/large-${i}`, Buffer.alloc(400_000))),
    ]);
    const failed = outcomes.flatMap((o, i) => (o.status === "rejected" ? [[i, (o.reason as TesseraError).reason]] : []));
    assert.deepEqual(failed, [[2, "RequestEntityTooLarge"]]);
  });

  test("pages are cut at one version, whatever is written between them", async () => {
    for (const name of ["a", "b", "c", "d", "e"]) await store.create(`/page/${name}`, bytes(name));
    const first = await store.readPage("/page/", { limit: 2, revision: 0 });
    assert.deepEqual(
      first.items.map((i) => i.key),
      ["/page/a", "/page/b"],
    );
    await store.create("/page/bb", bytes("too late"));
    await store.remove("/page/c", (await store.read("/page/c"))?.revision ?? 0);
    const second = await store.readPage("/page/", { limit: 2, fromKey: first.nextKey as string, revision: first.revision });
    assert.deepEqual(
      second.items.map((i) => i.key),
      ["/page/c", "/page/d"],
    );
    const third = await store.readPage("/page/", { limit: 2, fromKey: second.nextKey as string, revision: first.revision });
    assert.deepEqual([third.items.map((i) => i.key), third.nextKey, third.revision], [["/page/e"], undefined, first.revision]);
  });

  test("a page at a compacted version is Expired, at a future one Timeout", async () => {
    const old = await store.create("/compact/a", bytes("1"));
    const now = await store.update("/compact/a", bytes("2"), old);
    await store.create("/compact/b", bytes("1"));
    await compact(etcd, now / 2);
    await assert.rejects(store.readPage("/compact/", { limit: 0, revision: old }), refusal("Expired", /too old/));
    await assert.rejects(store.readPage("/compact/", { limit: 0, revision: now + 10_000 }), refusal("Timeout", /in the future/));
  });

  test("a write whose answer is lost is read back and reported as done", async () => {
    await using proxy = await TcpProxy.to(etcd.url);
    const through = new EtcdClient({ endpoints: [proxy.url] });
    const remote = new EtcdStore({ client: through });
    const base = await remote.create("/lost/update", bytes("1"));
    const doomed = await remote.create("/lost/remove", bytes("1"));
    const changes: [string, () => Promise<number>, string | undefined][] = [
      ["/lost/create", () => remote.create("/lost/create", bytes("created")), "created"],
      ["/lost/update", () => remote.update("/lost/update", bytes("2"), base), "2"],
      ["/lost/remove", () => remote.remove("/lost/remove", doomed), undefined],
    ];
    for (const [key, change, expected] of changes) {
      proxy.dropAnswers();
      const outcome = change();
      await proxy.droppedAnswer();
      proxy.cut();
      const version = await outcome;
      const state = await store.read(key);
      assert.equal(state?.value.toString(), expected, key);
      if (state !== undefined) assert.equal(state.revision, version, key);
    }
    through.close();
  });

  test("a write that never reached etcd is sent again", async () => {
    await using proxy = await TcpProxy.to(etcd.url);
    const through = new EtcdClient({ endpoints: [proxy.url] });
    const remote = new EtcdStore({ client: through });
    await remote.currentRevision();
    proxy.stall();
    const outcome = remote.create("/lost/never-sent", bytes("x"));
    await proxy.stalledBytes();
    proxy.cut();
    const version = await outcome;
    assert.equal((await store.read("/lost/never-sent"))?.revision, version);
    through.close();
  });

  test("a lost answer of a write that lost the race is a Conflict", async () => {
    await using proxy = await TcpProxy.to(etcd.url);
    const through = new EtcdClient({ endpoints: [proxy.url] });
    const remote = new EtcdStore({ client: through });
    const base = await store.create("/lost/race", bytes("1"));
    await remote.currentRevision();
    const winner = await store.update("/lost/race", bytes("theirs"), base);
    await store.update("/lost/race", bytes("theirs again"), winner);
    proxy.dropAnswers();
    const outcome = remote.update("/lost/race", bytes("ours"), base);
    await proxy.droppedAnswer();
    proxy.cut();
    await assert.rejects(outcome, refusal("Conflict", /\/lost\/race/));
    through.close();
  });

  test("with etcd stopped, calls end by their deadlines: reads and writes with Timeout", async () => {
    const impatient = new EtcdClient({ ...etcd.endpoints, callTimeoutMs: 200 });
    const hasty = new EtcdStore({ client: impatient, patienceMs: 500 });
    await hasty.currentRevision();
    await etcd.pause();
    try {
      const started = performance.now();
      await Promise.all([
        assert.rejects(hasty.read("/t/a"), refusal("Timeout", /DEADLINE_EXCEEDED/)),
        assert.rejects(hasty.create("/stopped/a", bytes("x")), refusal("Timeout", /\/stopped\/a: the outcome of the write is unknown/)),
      ]);
      assert.ok(performance.now() - started < 3_000);
    } finally {
      etcd.resume();
    }
    impatient.close();
  });

  test("with etcd down, a write fails as certainly not done", async () => {
    await using other = await startTestEtcd();
    const away = new EtcdClient({ ...other.endpoints, callTimeoutMs: 300 });
    const hasty = new EtcdStore({ client: away, patienceMs: 300 });
    await hasty.create("/down/a", bytes("x"));
    await other.kill();
    await assert.rejects(hasty.create("/down/b", bytes("x")), (error: unknown) => {
      // The first writer may still have met the dying connection.
      return error instanceof TesseraError && ["ServiceUnavailable", "Timeout"].includes(error.reason);
    });
    await assert.rejects(hasty.create("/down/c", bytes("x")), refusal("ServiceUnavailable", /no connection to etcd at http/));
    away.close();
  });

  test("a client of several endpoints goes on with the one that lives", async () => {
    await using other = await startTestEtcd();
    const both = new EtcdClient({ endpoints: [other.url, etcd.url], callTimeoutMs: 2_000 });
    const first = new EtcdStore({ client: both });
    await first.currentRevision();
    await other.kill();
    await first.create("/failover/a", bytes("x"));
    assert.deepEqual((await store.read("/failover/a"))?.value, bytes("x"));
    both.close();
  });
});

test("a full etcd refuses writes and says what to do, has none of those that it refused, and goes on when there is room", async () => {
  await using etcd = await startTestEtcd({ quotaBytes: 4 << 20 });
  const client = new EtcdClient(etcd.endpoints);
  const store = new EtcdStore({ client });
  const filler = (i: number) => Buffer.alloc(500_000, String(i));
  let revision = await store.create("/full/a", filler(0));
  const isFull = refusal("InternalError", /database space exceeded: nothing can be written until it is compacted/);
  let last = 0;
  const fill = async () => {
    for (let i = 1; i < 50; i++) {
      revision = await store.update("/full/a", filler(i), revision);
      last = i;
    }
  };
  await assert.rejects(fill(), isFull);
  // etcd answers the write that is one too many with an error, and does it.
  assert.deepEqual(await store.read("/full/a"), { key: "/full/a", value: filler(last), revision });
  await assert.rejects(store.create("/full/b", bytes("small")), isFull);
  assert.equal(await store.read("/full/b"), undefined);
  await compact(etcd, revision / 2);
  await makeRoom(etcd);
  assert.ok((await store.create("/full/b", bytes("small"))) > revision);
  await store.close();
  client.close();
});

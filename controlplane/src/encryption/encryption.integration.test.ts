import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { copyFile, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { promisify } from "node:util";
import { TesseraError } from "@tessera/proto";
import { pino } from "pino";
import { startTestEtcd, type TestEtcd } from "../embedded/testing.ts";
import type { CacheEvent, ResourceCache } from "../store/cache.ts";
import { compact } from "../store/compaction.testing.ts";
import { EtcdClient } from "../store/etcd-client.ts";
import { EtcdStore } from "../store/etcd-store.ts";
import { etcdRevision } from "../store/revision.ts";
import type { Store } from "../store/store.ts";
import { TcpProxy } from "../store/tcp-proxy.testing.ts";
import { WatchCache } from "../store/watch-cache.ts";
import { discardUnreadable } from "./discard.ts";
import { openEncryptionKeys } from "./open-keys.ts";
import { Resealing } from "./resealing.ts";
import { addEncryptionKey, pruneEncryptionKeys } from "./rotate.ts";
import { findUses } from "./sealed-values.ts";
import { SecretSealing } from "./secret-sealing.ts";

interface TestSecret {
  readonly metadata: { readonly name: string; readonly resourceVersion: string };
  readonly data: { readonly password: string };
}

const run = promisify(execFile);
const log = pino({ level: "silent" });
const password = "aHVudGVyMi1ub2JvZHktc2hhbGwtcmVhZC1tZQ==";

function secret(name: string, data = password): Buffer {
  return Buffer.from(
    JSON.stringify({
      apiVersion: "v1",
      kind: "Secret",
      metadata: { name, namespace: "default", uid: `uid-${name}` },
      data: { password: data },
    }),
  );
}

const keyOf = (name: string, namespace = "default"): string => `/registry/secrets/${namespace}/${name}`;

async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const deadline = Date.now() + 10_000;
  while (!(await condition())) {
    assert.ok(Date.now() < deadline, `in vain: ${what}`);
    await delay(5);
  }
}

function unreadable(name: string) {
  return (error: unknown): boolean => {
    assert.ok(error instanceof TesseraError, String(error));
    assert.equal(error.reason, "InternalError");
    assert.match(error.message, new RegExp(`^${keyOf(name)} cannot be decrypted: `));
    return true;
  };
}

describe("Secrets in etcd", () => {
  let etcd: TestEtcd;
  let dir: string;
  let path: string;
  /** Sees etcd as it is. */
  let client: EtcdClient;

  beforeEach(async () => {
    etcd = await startTestEtcd();
    client = new EtcdClient(etcd.endpoints);
    dir = await mkdtemp(join(tmpdir(), "tessera-encryption-"));
    path = join(dir, "encryption-keys.json");
  });

  afterEach(async () => {
    client.close();
    await etcd[Symbol.asyncDispose]();
    await rm(dir, { recursive: true, force: true });
  });

  /** A store, a cache and a resealing over them, as in a control plane; the cache runs until the end of the scope, the resealing when it is started. */
  async function controlPlane(options: { keyFile?: string; etcdUrl?: string } = {}) {
    const own = new EtcdClient({ ...etcd.endpoints, ...(options.etcdUrl === undefined ? {} : { endpoints: [options.etcdUrl] }) });
    const keys = await openEncryptionKeys({ path: options.keyFile ?? path, client: own, log });
    const sealing = new SecretSealing(keys);
    const store = new EtcdStore({ client: own, sealing });
    const caches = new WatchCache({ client: own, sealing, log });
    const secrets: ResourceCache<TestSecret> = caches.cacheOf("secrets");
    const stop = new AbortController();
    const running: Promise<void>[] = [caches.run(stop.signal)];
    await caches.ready;
    const resealingOver = (through: Pick<Store, "update">) => new Resealing({ client: own, store: through, sealing, keys, caches, log });
    const resealing = resealingOver(store);
    return {
      keys,
      sealing,
      store,
      caches,
      secrets,
      resealing,
      resealingOver,
      startResealing: () => void running.push(resealing.run(stop.signal)),
      [Symbol.asyncDispose]: async () => {
        stop.abort();
        await Promise.all(running);
        own.close();
      },
    };
  }

  /** How many Secrets need which encryption key. */
  async function uses(): Promise<Record<string, number>> {
    return Object.fromEntries([...(await findUses(client))].map(([id, keys]) => [id, keys.length]));
  }

  async function raw(name: string): Promise<{ value: Buffer; modRevision: number }> {
    const [item] = (await client.range({ key: keyOf(name) })).items;
    assert.ok(item !== undefined, `${name} is not in etcd`);
    return item;
  }

  /** What only somebody else can do: puts bytes under a key of etcd. */
  async function tamper(name: string, value: Buffer): Promise<void> {
    const { modRevision } = await raw(name);
    await client.write([{ key: keyOf(name), expected: modRevision, value }]);
  }

  test("etcd never holds the text, and everybody behind the store sees it", async () => {
    await using plane = await controlPlane();
    const { store, secrets } = plane;
    const told: string[] = [];
    secrets.onChange(({ type, object }) => told.push(`${type} ${object.value.data.password}`));
    const created = await store.create(keyOf("db"), secret("db"));
    const changed = await store.update(keyOf("db"), secret("db", `${password}Mg==`), created);
    await store.create("/registry/configmaps/default/db", secret("db", "not secret"));
    await secrets.waitFor(changed);

    const { stdout } = await run("etcdctl", ["--endpoints", etcd.url, "get", "/", "--prefix", "--print-value-only"], {
      env: { ...process.env, ETCDCTL_API: "3" },
    });
    assert.match(stdout, /^sealed:v1:/m);
    assert.match(stdout, /not secret/);
    assert.doesNotMatch(stdout, /aHVudGVyMi|password[^}]*aHV|uid-db.*Mg==/);
    const history = await client.range({ key: keyOf("db"), revision: etcdRevision(created) });
    assert.equal(history.items[0]?.value.indexOf("password"), -1);
    await assert.rejects(run("grep", ["-raF", "aHVudGVyMi", etcd.dir]), { code: 1 }, "nor in any file of etcd's");

    assert.deepEqual((await store.read(keyOf("db")))?.value, secret("db", `${password}Mg==`));
    const page = await store.readPage("/registry/secrets/", { limit: 10, revision: created });
    assert.deepEqual(page.items[0]?.value, secret("db"));
    assert.deepEqual(
      [...secrets.list()].map((each) => [each.value.data.password, each.revision]),
      [[`${password}Mg==`, changed]],
    );
    assert.deepEqual(told, [`ADDED ${password}`, `MODIFIED ${password}Mg==`]);
  });

  test("a control plane that starts later lists and watches the same", async () => {
    await using writer = await controlPlane();
    const from = await writer.store.create(keyOf("a"), secret("a"));
    await using reader = await controlPlane();
    assert.equal(reader.secrets.get("default", "a")?.value.data.password, password);
    await writer.store.create(keyOf("b"), secret("b"));
    for await (const events of reader.secrets.watch(from + 1, AbortSignal.timeout(30_000))) {
      assert.deepEqual(
        events.map((event) => event.object.value.data.password),
        [password],
      );
      break;
    }
  });

  test("a write whose answer is lost is known again by its sealed bytes", async () => {
    await using proxy = await TcpProxy.to(etcd.url);
    await using plane = await controlPlane({ etcdUrl: proxy.url });
    await using other = await controlPlane();
    const created = await plane.store.create(keyOf("lost"), secret("lost", "1"));
    proxy.dropAnswers();
    const outcome = plane.store.update(keyOf("lost"), secret("lost", "2"), created);
    await proxy.droppedAnswer();
    // Another one writes the same text over it before it is read back.
    const ours = (await other.store.read(keyOf("lost"))) as { revision: number };
    const theirs = await other.store.update(keyOf("lost"), secret("lost", "2"), ours.revision);
    proxy.cut();
    assert.equal(await outcome, ours.revision);
    assert.ok(theirs > ours.revision);
  });

  test("plain Secrets of before are read, and sealed by the next write or the next start", async () => {
    const plain = ["old", "older"].map((name) => ({ key: keyOf(name), expected: 0, value: secret(name) }));
    await client.write(plain);
    await using plane = await controlPlane();
    const { store, secrets, keys } = plane;
    assert.deepEqual(
      [...secrets.list()].map((each) => each.value.data.password),
      [password, password],
    );
    const old = await store.read(keyOf("old"));
    assert.deepEqual(old?.value, secret("old"));
    await store.update(keyOf("old"), secret("old", "new"), old?.revision ?? 0);
    assert.match((await raw("old")).value.toString("latin1"), /^sealed:v1:/);
    assert.match((await raw("older")).value.toString("latin1"), /^\{/);
    plane.startResealing();
    await until(async () => (await uses())[keys.current().id] === 2, "the resealing of what was plain");
    assert.deepEqual((await store.read(keyOf("older")))?.value, secret("older"));
  });

  test("a rotation brings every Secret under the new key, whatever is written meanwhile", async () => {
    await using plane = await controlPlane();
    const { store, secrets, keys } = plane;
    const before = keys.current().id;
    const versions = await Promise.all(Array.from({ length: 250 }, (_, i) => store.create(keyOf(`s${i}`), secret(`s${i}`))));
    plane.startResealing();
    const told: CacheEvent<TestSecret>[] = [];
    await secrets.waitFor(Math.max(...versions));
    secrets.onChange((event) => told.push(event));
    const next = await addEncryptionKey(path, new Date());
    const mine = await store.update(keyOf("s7"), secret("s7", "changed meanwhile"), versions[7] as number).catch((error) => {
      // The resealing was faster; then as after every conflict.
      assert.equal((error as TesseraError).reason, "Conflict");
      return store.read(keyOf("s7")).then((found) => store.update(keyOf("s7"), secret("s7", "changed meanwhile"), found?.revision ?? 0));
    });
    await until(async () => (await uses())[before] === undefined, "no use of the old key");
    assert.deepEqual(await uses(), { [next]: 250 });
    await secrets.waitFor(await store.currentRevision());
    assert.ok(mine > 0);
    assert.deepEqual(new Set(told.map((event) => event.type)), new Set(["MODIFIED"]));
    assert.deepEqual(new Set(told.map((event) => event.object.name)).size, 250);
    for (const { name, value } of secrets.list()) assert.equal(value.data.password, name === "s7" ? "changed meanwhile" : password);
  });

  test("a rotation that dies at any write is finished by the next start", async () => {
    const names = Array.from({ length: 6 }, (_, i) => `s${i}`);
    {
      await using plane = await controlPlane();
      for (const name of names) await plane.store.create(keyOf(name), secret(name));
    }
    for (const survived of names.keys()) {
      await using plane = await controlPlane();
      const next = await addEncryptionKey(path, new Date());
      let writes = 0;
      const dying = plane.resealingOver({
        update: async (key, value, revision) => {
          if (writes++ >= survived) throw new Error("killed");
          return plane.store.update(key, value, revision);
        },
      });
      await assert.rejects(dying.resealAll(AbortSignal.timeout(30_000)), /killed/);
      await until(async () => (await uses())[next] === (survived || undefined), `${survived} Secrets under the new key`);

      await using successor = await controlPlane();
      successor.startResealing();
      await until(async () => (await uses())[next] === names.length, "the rest");
      for (const name of names) assert.deepEqual((await successor.store.read(keyOf(name)))?.value, secret(name));
    }
  });

  test("a rotation outlives an etcd that is killed in its midst", async () => {
    await using plane = await controlPlane();
    const { store } = plane;
    await Promise.all(Array.from({ length: 300 }, (_, i) => store.create(keyOf(`s${i}`), secret(`s${i}`))));
    plane.startResealing();
    const next = await addEncryptionKey(path, new Date());
    await until(async () => ((await uses())[next] ?? 0) > 0, "the first Secrets under the new key");
    await etcd.kill();
    await etcd.restart();
    await until(async () => (await uses().catch((): Record<string, number> => ({})))[next] === 300, "all Secrets under the new key");
  });

  test("two control planes with one key file read each other's Secrets throughout a rotation", async () => {
    await using one = await controlPlane();
    await using two = await controlPlane();
    one.startResealing();
    two.startResealing();
    await one.store.create(keyOf("before"), secret("before"));
    const next = await addEncryptionKey(path, new Date());
    const last = await one.store.create(keyOf("after"), secret("after"));
    await two.secrets.waitFor(last);
    assert.equal(two.secrets.get("default", "after")?.value.data.password, password);
    await until(async () => (await uses())[next] === 2, "both under the new key");
    await two.secrets.waitFor(await two.store.currentRevision());
    assert.equal([...two.secrets.list()].length, 2);
    // Neither goes on rewriting what the other has rewritten.
    await one.resealing.resealAll(AbortSignal.timeout(30_000));
    const { modRevision } = await raw("before");
    await two.resealing.resealAll(AbortSignal.timeout(30_000));
    assert.equal((await raw("before")).modRevision, modRevision);
  });

  test("a control plane that gets the new key late keeps what it knew, and comes to know the rest", async () => {
    await using one = await controlPlane();
    const { store } = one;
    const versions = [await store.create(keyOf("changed"), secret("changed", "1")), await store.create(keyOf("gone"), secret("gone"))];
    const copy = join(dir, "elsewhere.json");
    await copyFile(path, copy);
    await using two = await controlPlane({ keyFile: copy });
    two.startResealing();
    const told: string[] = [];
    two.secrets.onChange(({ type, object }) => told.push(`${type} ${object.name} ${object.value.data.password}`));

    await addEncryptionKey(path, new Date());
    await store.update(keyOf("changed"), secret("changed", "2"), versions[0] as number);
    await store.create(keyOf("new"), secret("new"));
    await store.remove(keyOf("gone"), versions[1] as number);
    await store.create(keyOf("elsewhere", "other"), secret("elsewhere"));
    const configMap = await store.create("/registry/configmaps/default/a", secret("a"));
    await two.secrets.waitFor(configMap);
    assert.deepEqual(told, [`DELETED gone ${password}`], "the watch goes on, and calls nothing deleted that is there");
    assert.equal(two.secrets.get("default", "changed")?.value.data.password, "1");
    assert.throws(() => [...two.secrets.list("default")], unreadable("changed"));
    assert.throws(() => [...two.secrets.list()], /is sealed under encryption key "[0-9a-f]{16}", which is not in .*elsewhere\.json/);
    assert.deepEqual([...two.secrets.list("third")], [], "a namespace without such an object is whole");
    assert.equal([...two.caches.cacheOf("configmaps").list()].length, 1);
    await assert.rejects(two.store.read(keyOf("changed")), unreadable("changed"));

    await copyFile(path, copy);
    await until(() => told.length === 4, "what could not be read");
    assert.deepEqual(told.slice(1).sort(), [`ADDED elsewhere ${password}`, `ADDED new ${password}`, "MODIFIED changed 2"]);
    assert.equal([...two.secrets.list()].length, 3);
  });

  test("tampered values and values in the wrong place are refused by name, and mended by a write", async () => {
    await using plane = await controlPlane();
    const { store, secrets, caches } = plane;
    const created = await store.create(keyOf("a"), secret("a", "of a"));
    await store.create(keyOf("b"), secret("b", "of b"));
    await secrets.waitFor(await store.currentRevision());
    const untouched = (await raw("b")).value;
    await tamper("b", (await raw("a")).value);
    await assert.rejects(store.read(keyOf("b")), unreadable("b"));
    await assert.rejects(store.readPage("/registry/secrets/", { limit: 0, revision: 0 }), unreadable("b"));
    await secrets.waitFor(await store.currentRevision());
    assert.throws(() => secrets.list(), unreadable("b"));
    assert.equal(caches.unreadable, 1);
    assert.ok(caches.isUnreadable(keyOf("b")));
    assert.equal(secrets.get("default", "b")?.value.data.password, "of b");
    await store.update(keyOf("a"), secret("a", "goes on"), created);
    await secrets.waitFor(await store.currentRevision());
    assert.equal(secrets.get("default", "a")?.value.data.password, "goes on");

    await using late = await controlPlane();
    assert.equal(late.secrets.get("default", "b"), undefined);
    assert.throws(() => late.secrets.list(), unreadable("b"));

    await tamper("b", untouched);
    await secrets.waitFor(await store.currentRevision());
    assert.equal([...secrets.list()].length, 2);
    assert.equal(caches.unreadable, 0);
    assert.equal(caches.isUnreadable(keyOf("b")), false);
  });

  test("what nobody can read any more can be discarded, and nothing else is", async () => {
    await using plane = await controlPlane();
    const { store, secrets, sealing } = plane;
    for (const name of ["good", "known", "lost"]) await store.create(keyOf(name), secret(name));
    await client.write([{ key: keyOf("plain"), expected: 0, value: secret("plain") }]);
    await secrets.waitFor(await store.currentRevision());
    const foreign = (await raw("good")).value;
    for (const name of ["known", "lost"]) await tamper(name, foreign);
    await using late = await controlPlane();
    assert.deepEqual(await discardUnreadable(client, sealing), [keyOf("known"), keyOf("lost")]);
    for (const each of [plane, late]) {
      await each.secrets.waitFor(await store.currentRevision());
      assert.deepEqual(
        [...each.secrets.list()].map((object) => object.name),
        ["good", "plain"],
      );
    }
  });

  test("a relist after a compaction deletes nothing that it cannot read", async () => {
    await using proxy = await TcpProxy.to(etcd.url);
    await using writer = await controlPlane();
    const copy = join(dir, "elsewhere.json");
    const versions: number[] = [];
    for (const name of ["kept", "replaced"]) versions.push(await writer.store.create(keyOf(name), secret(name)));
    await copyFile(path, copy);
    await using reader = await controlPlane({ keyFile: copy, etcdUrl: proxy.url });
    const told: string[] = [];
    reader.secrets.onChange(({ type, object }) => told.push(`${type} ${object.name}`));
    proxy.refuse();
    await addEncryptionKey(path, new Date());
    await writer.store.update(keyOf("kept"), secret("kept", "2"), versions[0] as number);
    await writer.store.remove(keyOf("replaced"), versions[1] as number);
    const last = await writer.store.create(keyOf("replaced"), secret("replaced", "2"));
    await compact(etcd, etcdRevision(last));
    proxy.cut();
    await reader.secrets.waitFor(last, { timeoutMs: 30_000 });
    assert.deepEqual(told, ["DELETED replaced"]);
    assert.equal(reader.secrets.get("default", "kept")?.value.data.password, password);
    assert.throws(() => reader.secrets.list(), unreadable("kept"));
  });

  test("a missing key file is not replaced while etcd holds what it opens", async () => {
    await using plane = await controlPlane();
    await plane.store.create(keyOf("a"), secret("a"));
    const { id } = plane.keys.current();
    await rm(path);
    await assert.rejects(openEncryptionKeys({ path, client, log }), (error: Error) => {
      assert.match(
        error.message,
        new RegExp(`encryption-keys\\.json is missing, and etcd holds 1 Secrets sealed under encryption key "${id}"`),
      );
      return true;
    });
    await assert.rejects(plane.store.create(keyOf("b"), secret("b")), /no Secret can be written: .*ENOENT/);
    assert.deepEqual((await plane.store.read(keyOf("a")))?.value, secret("a"));
  });

  test("older keys are dropped when nothing needs them, and not before", async () => {
    const later = Date.now() + 3_600_000;
    await using plane = await controlPlane();
    const before = plane.keys.current().id;
    await plane.store.create(keyOf("a"), secret("a"));
    assert.deepEqual(await pruneEncryptionKeys({ path, client, nowMs: later }), []);
    await addEncryptionKey(path, new Date());
    await assert.rejects(
      pruneEncryptionKeys({ path, client, nowMs: later }),
      new RegExp(`still needed, none was dropped: "${before}" by 1 Secrets \\(/registry/secrets/default/a\\)`),
    );
    await plane.resealing.resealAll(AbortSignal.timeout(30_000));
    await assert.rejects(pruneEncryptionKeys({ path, client, nowMs: Date.now() }), /changed less than a minute ago.*try again in \d+ s/);
    assert.deepEqual(await pruneEncryptionKeys({ path, client, nowMs: later }), [before]);
    assert.equal(plane.keys.find("nobody-has-it"), undefined);
    assert.equal(plane.keys.find(before), undefined, "a running control plane gives it up too");
    assert.deepEqual((await plane.store.read(keyOf("a")))?.value, secret("a"));
  });
});

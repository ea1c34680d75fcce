import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { compact } from "../store/compaction.testing.ts";
import type { Json } from "./testing/http-client.ts";
import { configMapNamed, podNamed } from "./testing/objects.ts";
import { startTestApi, type TestApi } from "./testing/test-api.ts";

let api: TestApi;
before(async () => {
  api = await startTestApi({ history: { events: 64, bytes: 1024 * 1024 } });
});
after(() => api[Symbol.asyncDispose]());

/** A namespace of its own for a test; the path of its ConfigMaps. */
async function space(name: string): Promise<string> {
  await api.http.post("/api/v1/namespaces", { metadata: { name } });
  return `/api/v1/namespaces/${name}/configmaps`;
}

async function create(path: string, ...names: string[]): Promise<string[]> {
  const versions: string[] = [];
  for (const name of names) versions.push((await api.http.post(path, configMapNamed(name))).json.metadata.resourceVersion);
  return versions;
}

const namesOf = (list: Json): string[] => list.items.map((item: Json) => item.metadata.name);

// Lists.

test("a list is in order, of its namespace, and at a version that a watch can start from", async () => {
  const path = await space("ordered");
  await create(path, "b", "a", "c");
  const { json } = await api.http.get(path);
  assert.deepEqual([json.kind, json.apiVersion], ["ConfigMapList", "v1"]);
  assert.deepEqual(namesOf(json), ["a", "b", "c"]);
  using watch = await api.http.watch(`${path}?watch=true&resourceVersion=${json.metadata.resourceVersion}`);
  await create(path, "d");
  assert.deepEqual(await watch.take(1), ["ADDED d"]);
});

test("a read after a write sees the write, from whatever source it comes", async () => {
  const path = await space("fresh");
  for (let i = 0; i < 20; i++) {
    await create(path, `n${i}`);
    assert.equal((await api.http.get(path)).json.items.length, i + 1);
  }
});

test("no get tells an older state than one that was acknowledged before it began, however late the cache hears of changes", async () => {
  await using lagging = await startTestApi({ watchLagMs: 20 });
  const path = "/api/v1/namespaces/default/configmaps";
  const versionOf = (answer: { json: Json }) => Number(answer.json.metadata.resourceVersion);
  let acknowledged = versionOf(await lagging.http.post(path, configMapNamed("n")));
  let isWriting = true;
  const write = async () => {
    for (let i = 1; i <= 30; i++) {
      const body = { ...configMapNamed("n"), data: { i: String(i) } };
      acknowledged = versionOf(await lagging.http.send("PUT", `${path}/n`, { body }));
    }
    isWriting = false;
  };
  const read = async () => {
    while (isWriting) {
      const known = acknowledged;
      const seen = versionOf(await lagging.http.get(`${path}/n`));
      assert.ok(seen >= known, `a get told version ${seen} although ${known} was acknowledged before`);
    }
  };
  await Promise.all([write(), ...Array.from({ length: 8 }, read)]);
  await lagging.http.send("DELETE", `${path}/n`);
  assert.equal((await lagging.http.get(`${path}/n`)).status, 404);
});

test("a list in pieces is one list, though objects come and go meanwhile", async () => {
  const path = await space("pieces");
  await create(path, "a", "b", "c", "d", "e");
  const first = (await api.http.get(`${path}?limit=2`)).json;
  assert.deepEqual(namesOf(first), ["a", "b"]);
  assert.equal(first.metadata.remainingItemCount, 3);
  await create(path, "bb");
  await api.http.send("DELETE", `${path}/d`);
  const second = (await api.http.get(`${path}?limit=2&continue=${first.metadata.continue}`)).json;
  assert.deepEqual(namesOf(second), ["c", "d"]);
  assert.equal(second.metadata.resourceVersion, first.metadata.resourceVersion);
  const third = (await api.http.get(`${path}?limit=2&continue=${second.metadata.continue}`)).json;
  assert.deepEqual(namesOf(third), ["e"]);
  assert.equal(third.metadata.continue, undefined);
});

test("a list in pieces that outlives the store's memory is Gone, and its rest can be had as it is by then", async () => {
  const path = await space("forgotten");
  await create(path, "a", "b", "c", "d");
  const first = (await api.http.get(`${path}?limit=2`)).json;
  await api.http.send("DELETE", `${path}/c`);
  const [newest] = await create(path, "e");
  // An object's version is twice the revision of etcd.
  await compact(api.etcd, Number(newest) / 2);
  const gone = await api.http.get(`${path}?limit=2&continue=${first.metadata.continue}`);
  assert.deepEqual([gone.status, gone.json.code, gone.json.reason], [410, 410, "Expired"]);
  assert.match(gone.json.message, /too old to display a consistent list/);
  const rest = (await api.http.get(`${path}?limit=1&continue=${gone.json.metadata.continue}`)).json;
  assert.deepEqual(namesOf(rest), ["d"]);
  assert.deepEqual(namesOf((await api.http.get(`${path}?continue=${rest.metadata.continue}`)).json), ["e"]);
  const exact = await api.http.get(`${path}?resourceVersionMatch=Exact&resourceVersion=${first.metadata.resourceVersion}`);
  assert.deepEqual([exact.status, exact.json.reason, exact.json.metadata], [410, "Expired", {}]);
});

test("pieces over all namespaces leave nothing out where one name begins like another", async () => {
  const all: string[] = [];
  for (const namespace of ["piece", "piece-x", "piecez"]) {
    await create(await space(namespace), "a", "b");
    all.push(...["a", "b"].map((name) => `${namespace}/${name}`));
  }
  for (const namespace of ["piece", "piece-x", "piecez"]) {
    for (const name of ["a", "b"]) {
      await api.http.patch(`/api/v1/namespaces/${namespace}/configmaps/${name}`, "merge", { metadata: { labels: { piece: "1" } } });
    }
  }
  const found: string[] = [];
  let next = "";
  do {
    const { json } = await api.http.get(`/api/v1/configmaps?limit=1&labelSelector=piece&continue=${next}`);
    found.push(...json.items.map((item: Json) => `${item.metadata.namespace}/${item.metadata.name}`));
    next = json.metadata.continue ?? "";
  } while (next !== "");
  assert.deepEqual(found.sort(), all.sort());
});

test("selectors choose", async () => {
  const pods = "/api/v1/namespaces/default/pods";
  await api.http.post(pods, podNamed("s1", { nodeName: "node-1" }, { app: "x" }));
  await api.http.post(pods, podNamed("s2", {}, { app: "y" }));
  assert.deepEqual(namesOf((await api.http.get(`${pods}?labelSelector=app%20in%20(x,z)`)).json), ["s1"]);
  assert.deepEqual(namesOf((await api.http.get(`${pods}?fieldSelector=spec.nodeName=node-1`)).json), ["s1"]);
  assert.deepEqual(namesOf((await api.http.get(`${pods}?fieldSelector=metadata.name=s2`)).json), ["s2"]);
  assert.deepEqual(namesOf((await api.http.get(`${pods}?labelSelector=app&fieldSelector=spec.nodeName%21=node-1`)).json), ["s2"]);
  assert.deepEqual(namesOf((await api.http.get("/api/v1/pods?fieldSelector=metadata.name=s2")).json), ["s2"]);
  const bad = await api.http.get(`${pods}?fieldSelector=spec.image=x`);
  assert.deepEqual([bad.status, bad.json.reason], [400, "BadRequest"]);
});

test("an exact version shows the past, and one not yet reached times out as such", async () => {
  const path = await space("past");
  const [first] = await create(path, "a", "b");
  const old = await api.http.get(`${path}?resourceVersion=${first}&resourceVersionMatch=Exact`);
  assert.deepEqual(namesOf(old.json), ["a"]);
  assert.deepEqual(namesOf((await api.http.get(`${path}?resourceVersion=${first}&resourceVersionMatch=NotOlderThan`)).json), ["a", "b"]);
  const future = await api.http.get(`${path}?resourceVersion=99999999`);
  assert.deepEqual([future.status, future.json.details.causes[0].reason], [504, "ResourceVersionTooLarge"]);
  for (const query of [
    "resourceVersion=x",
    "resourceVersionMatch=Exact",
    "resourceVersion=0&resourceVersionMatch=Exact",
    "limit=-1",
    "continue=xyz",
  ]) {
    assert.equal((await api.http.get(`${path}?${query}`)).status, 400, query);
  }
});

test("a table has the rows of the list", async () => {
  const path = await space("table");
  await create(path, "a", "b");
  const table = (await api.http.get(path, { accept: "application/json;as=Table;v=v1;g=meta.k8s.io,application/json" })).json;
  assert.equal(table.kind, "Table");
  assert.deepEqual(
    table.rows.map((row: Json) => row.cells.slice(0, 2)),
    [
      ["a", 0],
      ["b", 0],
    ],
  );
  assert.equal(table.rows[0].object.kind, "PartialObjectMetadata");
  const one = (await api.http.get(`${path}/a?includeObject=Object`, { accept: "application/json;as=Table;v=v1;g=meta.k8s.io" })).json;
  assert.equal(one.rows[0].object.kind, "ConfigMap");
});

test("metadata alone can be had", async () => {
  const path = await space("partial");
  await api.http.post(path, configMapNamed("a", { secret: "x" }));
  const list = (await api.http.get(path, { accept: "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1" })).json;
  assert.equal(list.kind, "PartialObjectMetadataList");
  assert.equal(list.items[0].metadata.name, "a");
  assert.equal(list.items[0].data, undefined);
});

// Watches.

test("a watch without a version begins with what is there", async () => {
  const path = await space("initial");
  await create(path, "a", "b");
  for (const query of ["", "&resourceVersion=0"]) {
    using watch = await api.http.watch(`${path}?watch=true${query}`);
    assert.deepEqual(await watch.take(2), ["ADDED a", "ADDED b"]);
  }
});

test("a watch tells each change once, with the object's new version", async () => {
  const path = await space("changes");
  const { resourceVersion } = (await api.http.get(path)).json.metadata;
  using watch = await api.http.watch(`${path}?watch=true&resourceVersion=${resourceVersion}`);
  await create(path, "a");
  await api.http.patch(`${path}/a`, "merge", { data: { x: "1" } });
  await api.http.send("DELETE", `${path}/a`);
  const lines = [await watch.next(), await watch.next(), await watch.next()];
  assert.deepEqual(
    lines.map((line) => line?.type),
    ["ADDED", "MODIFIED", "DELETED"],
  );
  const versions = lines.map((line) => Number(line?.object.metadata.resourceVersion));
  assert.ok((versions[0] ?? 0) < (versions[1] ?? 0) && (versions[1] ?? 0) < (versions[2] ?? 0), String(versions));
  assert.equal(lines[2]?.object.data.x, "1");
});

test("a watch that is resumed misses nothing, from any object's version", async () => {
  const path = await space("resume");
  const versions = await create(path, "a", "b", "c", "d");
  for (const [index, version] of versions.entries()) {
    using watch = await api.http.watch(`${path}?watch=true&resourceVersion=${version}`);
    const rest = ["a", "b", "c", "d"].slice(index + 1).map((name) => `ADDED ${name}`);
    assert.deepEqual(await watch.take(rest.length), rest);
  }
});

test("objects written in one moment are all told to those that resume between them", async () => {
  const path = await space("together");
  const answers = await Promise.all(["a", "b", "c", "d", "e", "f"].map((name) => api.http.post(path, configMapNamed(name))));
  const version = Math.min(...answers.map((answer) => Number(answer.json.metadata.resourceVersion)));
  using watch = await api.http.watch(`${path}?watch=true&resourceVersion=${version}`);
  const seen = new Set<string>();
  const last = Math.max(...answers.map((answer) => Number(answer.json.metadata.resourceVersion)));
  for (let line = await watch.next(); line !== undefined; line = await watch.next()) {
    seen.add(line.object.metadata.name);
    if (seen.size >= 5 && Number(line.object.metadata.resourceVersion) === last) break;
  }
  const first = answers.filter((answer) => Number(answer.json.metadata.resourceVersion) === version);
  assert.ok(seen.size >= 6 - first.length);
});

test("objects that move into and out of a selection appear and disappear", async () => {
  const path = await space("moving");
  const { resourceVersion } = (await api.http.get(path)).json.metadata;
  using watch = await api.http.watch(`${path}?watch=true&labelSelector=on&resourceVersion=${resourceVersion}`);
  const label = (on: string | null) => api.http.patch(`${path}/a`, "merge", { metadata: { labels: { on } } });
  await create(path, "a", "other");
  await label("1");
  await label("2");
  await label(null);
  await label("3");
  await api.http.send("DELETE", `${path}/a`);
  const lines = [];
  for (let i = 0; i < 5; i++) lines.push(await watch.next());
  assert.deepEqual(
    lines.map((line) => `${line?.type} ${line?.object.metadata.labels.on}`),
    ["ADDED 1", "MODIFIED 2", "DELETED 2", "ADDED 3", "DELETED 3"],
  );
});

test("a watch of one name is told of no other", async () => {
  const path = await space("single");
  const { resourceVersion } = (await api.http.get(path)).json.metadata;
  using watch = await api.http.watch(`${path}?watch=true&fieldSelector=metadata.name=b&resourceVersion=${resourceVersion}`);
  await create(path, "a", "b", "c");
  await api.http.send("DELETE", `${path}/b`);
  assert.deepEqual(await watch.take(2), ["ADDED b", "DELETED b"]);
});

test("a streamed list ends with a bookmark that says so", async () => {
  const path = await space("streamed");
  await create(path, "a");
  const query = "watch=true&sendInitialEvents=true&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=true";
  using watch = await api.http.watch(`${path}?${query}`);
  assert.equal((await watch.next())?.type, "ADDED");
  const bookmark = await watch.next();
  assert.equal(bookmark?.type, "BOOKMARK");
  assert.equal(bookmark?.object.metadata.annotations["k8s.io/initial-events-end"], "true");
  await create(path, "b");
  assert.deepEqual(await watch.take(1), ["ADDED b"]);
  assert.equal((await api.http.get(`${path}?watch=true&sendInitialEvents=true`)).status, 400);
});

test("bookmarks are of the form that the watch is in", async () => {
  const path = await space("marked");
  const query = "watch=1&sendInitialEvents=True&resourceVersionMatch=NotOlderThan&allowWatchBookmarks=1";
  for (const [as, kind] of [
    ["Table", "Table"],
    ["PartialObjectMetadata", "PartialObjectMetadata"],
  ]) {
    using watch = await api.http.watch(`${path}?${query}`, { accept: `application/json;as=${as};v=v1;g=meta.k8s.io` });
    const bookmark = await watch.next();
    assert.deepEqual([bookmark?.type, bookmark?.object.kind], ["BOOKMARK", kind]);
    assert.match(bookmark?.object.metadata.resourceVersion, /^\d+$/);
  }
});

test("a version from before what is remembered is Gone", async () => {
  const path = await space("gone");
  const [version] = await create(path, "a");
  for (let i = 0; i < 80; i++) await api.http.patch(`${path}/a`, "merge", { data: { i: String(i) } });
  using watch = await api.http.watch(`${path}?watch=true&resourceVersion=${version}`);
  const line = await watch.next();
  assert.deepEqual([line?.type, line?.object.code, line?.object.reason], ["ERROR", 410, "Expired"]);
  assert.equal(await watch.next(), undefined);
});

test("a version that is not reached yet is waited for, in vain with a word on it", async () => {
  const path = await space("ahead");
  const answer = await api.http.get(`${path}?watch=true&resourceVersion=99999999`);
  const status = JSON.parse(answer.text.trim().split("\n")[0] ?? "");
  assert.deepEqual([status.type, status.object.code, status.object.details.causes[0].reason], ["ERROR", 504, "ResourceVersionTooLarge"]);
});

test("a watch ends when its time is over", async () => {
  const path = await space("timed");
  using watch = await api.http.watch(`${path}?watch=true&timeoutSeconds=1`);
  assert.equal(await watch.next(), undefined);
});

test("a table watch names its columns once", async () => {
  const path = await space("tables");
  await create(path, "a", "b");
  using watch = await api.http.watch(`${path}?watch=true`, { accept: "application/json;as=Table;v=v1;g=meta.k8s.io" });
  const [first, second] = [await watch.next(), await watch.next()];
  assert.deepEqual(first?.object.rows[0].cells.slice(0, 1), ["a"]);
  assert.equal(first?.object.columnDefinitions.length, 3);
  assert.deepEqual(second?.object.columnDefinitions, []);
});

test("a client that does not read costs nothing and is let go when it has fallen behind", async () => {
  const path = await space("slow");
  await api.http.post(path, configMapNamed("big"));
  const { resourceVersion } = (await api.http.get(path)).json.metadata;
  const response = await api.http.open("GET", `${path}?watch=true&resourceVersion=${resourceVersion}`);
  // More than all buffers between here and there can hold, and than the history remembers.
  for (let i = 0; i < 60; i++) await api.http.patch(`${path}/big`, "merge", { data: { x: String(i).repeat(250_000).slice(0, 500_000) } });
  let last = "";
  for await (const piece of response) last = (last + (piece as Buffer).toString("latin1")).slice(-1000);
  assert.match(last, /"type":"ERROR".*"reason":"Expired"/s);
});

test("a watch lives through the death of etcd", async () => {
  const path = await space("reborn");
  using watch = await api.http.watch(`${path}?watch=true`);
  await create(path, "before");
  await api.etcd.kill();
  await api.etcd.restart();
  for (let left = 600; left > 0; left--) {
    const { status } = await api.http.post(path, configMapNamed("after"));
    if (status === 201 || status === 409) break;
    await delay(50);
  }
  assert.deepEqual(await watch.take(2), ["ADDED before", "ADDED after"]);
});

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Event } from "@tessera/proto";
import { pino } from "pino";
import { startTestNats, type TestNats } from "../embedded/testing.ts";
import { NatsEvents } from "../events/nats-events.ts";
import { type NatsLink, openNats } from "../events/nats-link.ts";
import { startTestApi, type TestApi } from "./testing/test-api.ts";

/*
 * Events as clients write them, on a real NATS.
 */

const core = "/api/v1/namespaces/default/events";
const grouped = "/apis/events.k8s.io/v1/namespaces/default/events";
const log = pino({ level: "silent" });

let nats: TestNats;
let link: NatsLink;
let events: NatsEvents;
let api: TestApi;
const stop = new AbortController();
let running: Promise<void>;
before(async () => {
  nats = await startTestNats();
  link = openNats({ url: nats.url, name: "test", log });
  events = new NatsEvents({ nats: link, log });
  running = events.run(stop.signal);
  api = await startTestApi({ events });
});
after(async () => {
  await api[Symbol.asyncDispose]();
  stop.abort();
  await running;
  await link.close();
  await nats[Symbol.asyncDispose]();
});

const pod = { kind: "Pod", apiVersion: "v1", namespace: "default", name: "web", uid: "u1" };

function coreEvent(name: string, more: object = {}) {
  const happened = { reason: "Seen", message: "somebody saw it", type: "Normal", count: 1, source: { component: "watcher" } };
  return { metadata: { name }, involvedObject: pod, firstTimestamp: "2026-01-02T03:04:05Z", ...happened, ...more };
}

function groupedEvent(name: string, more: object = {}) {
  const who = { reportingController: "example.com/watcher", reportingInstance: "watcher-1", action: "Watching", reason: "Seen" };
  return {
    metadata: { name },
    eventTime: "2026-01-02T03:04:05.678901Z",
    regarding: pod,
    note: "somebody saw it",
    type: "Normal",
    ...who,
    ...more,
  };
}

const refusal = (answer: { status: number; json: { reason?: string } }) => [answer.status, answer.json?.reason];

test("an Event that a client makes is found in both groups", async () => {
  const created = await api.http.post(core, coreEvent("made"));
  assert.equal(created.status, 201, created.text);
  assert.match(created.json.metadata.uid, /^[0-9a-f-]{36}$/);
  const shown = (await api.http.get(`${grouped}/made`)).json;
  assert.deepEqual(
    [shown.apiVersion, shown.kind, shown.note, shown.regarding.name],
    ["events.k8s.io/v1", "Event", "somebody saw it", "web"],
  );
  assert.deepEqual(
    [shown.deprecatedCount, shown.deprecatedSource, shown.eventTime],
    [1, { component: "watcher" }, "2026-01-02T03:04:05.000000Z"],
  );
  assert.deepEqual(refusal(await api.http.post(core, coreEvent("made"))), [409, "AlreadyExists"]);
  const made = await api.http.post(grouped, groupedEvent("grouped"));
  assert.equal(made.status, 201, made.text);
  const found = (await api.http.get(`${core}/grouped`)).json;
  assert.deepEqual([found.apiVersion, found.message, found.reportingComponent], ["v1", "somebody saw it", "example.com/watcher"]);
});

test("a patch counts on, and a stale one is refused", async () => {
  const { json } = await api.http.post(core, coreEvent("counted"));
  const counted = await api.http.patch(`${core}/counted`, "strategic-merge", { count: 2, lastTimestamp: "2026-01-02T04:00:00Z" });
  assert.deepEqual([counted.status, counted.json.count, counted.json.metadata.uid], [200, 2, json.metadata.uid]);
  assert.ok(Number(counted.json.metadata.resourceVersion) > Number(json.metadata.resourceVersion));
  assert.deepEqual(refusal(await api.http.send("PUT", `${core}/counted`, { body: { ...json, count: 9 } })), [409, "Conflict"]);
  const series = { series: { count: 3, lastObservedTime: "2026-01-02T05:00:00.000000Z" } };
  const grown = await api.http.patch(`${grouped}/counted`, "merge", series);
  assert.deepEqual([grown.status, grown.json.series, grown.json.deprecatedCount], [200, series.series, 2]);
  assert.deepEqual(refusal(await api.http.patch(`${core}/nothing`, "merge", { count: 2 })), [404, "NotFound"]);
  const many = await Promise.all(
    Array.from({ length: 6 }, (_, at) => api.http.patch(`${core}/counted`, "merge", { metadata: { annotations: { [`a${at}`]: "1" } } })),
  );
  assert.deepEqual([...new Set(many.map(({ status }) => status))], [200]);
  assert.equal(Object.keys((await api.http.get(`${core}/counted`)).json.metadata.annotations).length, 6);
});

/** Something that the cluster itself records of a pod. */
function record(name: string): void {
  events.record({
    involved: { ...pod, name },
    type: "Warning",
    reason: "Failed",
    message: "again",
    source: { component: "tessera-agent", host: "n" },
    timeMs: Date.parse("2026-01-02T03:04:05Z"),
  });
}

/** The one Event of a pod, once it has happened so often. */
async function counted(name: string, count: number) {
  for (const deadline = Date.now() + 10_000; ; ) {
    const [event] = (await api.http.get(`${core}?fieldSelector=involvedObject.name=${name}`)).json.items;
    if (event?.count === count) return event;
    assert.ok(Date.now() < deadline, JSON.stringify(event));
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

test("what the cluster records itself can be patched, and goes on counting", async () => {
  record("recorded");
  const { metadata } = await counted("recorded", 1);
  assert.equal((await api.http.patch(`${core}/${metadata.name}`, "merge", { metadata: { labels: { seen: "yes" } } })).status, 200);
  record("recorded");
  assert.deepEqual((await counted("recorded", 2)).metadata.labels, { seen: "yes" });
});

test("an Event that is deleted is gone from both groups, and watchers of both hear of it", async () => {
  const { json } = await api.http.post(core, coreEvent("web.short-lived"));
  const path = `${core}/web.short-lived`;
  const { uid, resourceVersion } = json.metadata;
  await using watch = await api.http.watch(`${grouped}?watch=true&resourceVersion=${resourceVersion}`);
  const options = (preconditions: object) => ({ body: { kind: "DeleteOptions", apiVersion: "v1", preconditions } });
  assert.deepEqual(refusal(await api.http.send("DELETE", path, options({ uid: "another" }))), [409, "Conflict"]);
  assert.deepEqual(refusal(await api.http.send("DELETE", path, options({ resourceVersion: "1" }))), [409, "Conflict"]);
  assert.equal((await api.http.send("DELETE", `${path}?dryRun=All`)).status, 200);
  assert.equal((await api.http.get(path)).status, 200);
  const deleted = await api.http.send("DELETE", path, options({ uid, resourceVersion }));
  assert.deepEqual([deleted.status, deleted.json.status, deleted.json.details.name], [200, "Success", "web.short-lived"], deleted.text);
  const change = await watch.next();
  assert.deepEqual([change?.type, change?.object.metadata.uid, change?.object.note], ["DELETED", uid, "somebody saw it"]);
  assert.ok(Number(change?.object.metadata.resourceVersion) > Number(resourceVersion));
  assert.deepEqual(refusal(await api.http.get(`${grouped}/web.short-lived`)), [404, "NotFound"]);
  assert.deepEqual(refusal(await api.http.send("DELETE", path)), [404, "NotFound"]);
  // The name is free again.
  const again = await api.http.post(core, coreEvent("web.short-lived"));
  assert.equal(again.status, 201, again.text);
  assert.notEqual(again.json.metadata.uid, uid);
});

test("what happens again after its Event was deleted is a new Event", async () => {
  record("repeated");
  const { metadata } = await counted("repeated", 1);
  record("repeated");
  await counted("repeated", 2);
  assert.equal((await api.http.send("DELETE", `${core}/${metadata.name}`)).status, 200);
  record("repeated");
  assert.notEqual((await counted("repeated", 1)).metadata.uid, metadata.uid);
});

test("kubectl deletes all Events of a namespace, a collection only those that are selected", async () => {
  const namespace = "emptied";
  assert.equal((await api.http.post("/api/v1/namespaces", { metadata: { name: namespace } })).status, 201);
  const path = `/api/v1/namespaces/${namespace}/events`;
  const names = async () => (await api.http.get(path)).json.items.map((event: Event) => event.metadata?.name);
  for (const [name, type] of [
    ["a.1", "Normal"],
    ["b.1", "Warning"],
    ["plain", "Warning"],
    ["c.1", "Normal"],
  ] as const) {
    const made = await api.http.post(path, coreEvent(name, { type, involvedObject: { ...pod, namespace } }));
    assert.equal(made.status, 201, made.text);
  }
  const collection = path.replace("/api/v1", "/apis/events.k8s.io/v1");
  assert.equal((await api.http.send("DELETE", `${collection}?fieldSelector=type=Warning`)).status, 200);
  assert.deepEqual(await names(), ["a.1", "c.1"]);
  const output = await api.kubectl(["delete", "events", "--all", "-n", namespace]);
  assert.equal(output.stdout, 'event "a.1" deleted\nevent "c.1" deleted\n', output.stderr);
  assert.deepEqual(await names(), []);
});

test("watches of either group tell in their own words", async () => {
  for (const [path, field] of [
    [core, "message"],
    [grouped, "note"],
  ] as const) {
    const { metadata } = (await api.http.get(path)).json;
    await using watch = await api.http.watch(`${path}?watch=true&resourceVersion=${metadata.resourceVersion}`);
    const name = `watched-${field}`;
    await api.http.post(core, coreEvent(name));
    await api.http.patch(`${core}/${name}`, "merge", { count: 2 });
    const [added, modified] = [await watch.next(), await watch.next()];
    assert.deepEqual([added?.type, added?.object.metadata.name, added?.object[field]], ["ADDED", name, "somebody saw it"]);
    assert.deepEqual([modified?.type, modified?.object.metadata.name], ["MODIFIED", name]);
  }
});

test("Events that say too little are refused, with the names of their group", async () => {
  const elsewhere = await api.http.post(core, coreEvent("elsewhere", { involvedObject: { ...pod, namespace: "other" } }));
  assert.deepEqual(refusal(elsewhere), [422, "Invalid"]);
  assert.match(elsewhere.json.message, /involvedObject\.namespace/);
  const empty = await api.http.post(grouped, { metadata: { name: "empty" }, eventTime: "2026-01-02T03:04:05.678901Z", regarding: pod });
  assert.deepEqual(empty.json.details.causes.map((cause: { field: string }) => cause.field).sort(), [
    "action",
    "reason",
    "reportingController",
    "reportingInstance",
    "type",
  ]);
  assert.deepEqual(
    refusal(await api.http.post("/api/v1/namespaces/nowhere/events", coreEvent("x", { involvedObject: { ...pod, namespace: "nowhere" } }))),
    [404, "NotFound"],
  );
});

test("kubectl shows both", async () => {
  await api.http.post(core, coreEvent("for-kubectl"));
  const grouped = await api.kubectl(["get", "events.events.k8s.io", "for-kubectl"]);
  assert.match(
    grouped.stdout,
    /^LAST SEEN +TYPE +REASON +OBJECT +MESSAGE\n\S+ +Normal +Seen +pod\/web +somebody saw it\n$/,
    grouped.stderr,
  );
  const plain = await api.kubectl(["get", "events", "for-kubectl", "-o", "jsonpath={.message}"]);
  assert.equal(plain.stdout, "somebody saw it");
  assert.match((await api.kubectl(["explain", "event.regarding", "--api-version=events.k8s.io/v1"])).stdout, /What it happened to/);
});

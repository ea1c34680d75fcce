import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { Answer, Json, RequestOptions } from "./testing/http-client.ts";
import { configMapNamed, podNamed } from "./testing/objects.ts";
import { startTestApi, type TestApi } from "./testing/test-api.ts";

/*
 * What any write may be asked for besides what it writes: only to try (dryRun), how to take what nobody knows (fieldValidation), and which
 * objects of a collection are meant.
 */

const configMaps = "/api/v1/namespaces/default/configmaps";
const pods = "/api/v1/namespaces/default/pods";

let api: TestApi;
before(async () => {
  api = await startTestApi();
  await api.http.post(configMaps, configMapNamed("there", { a: "1" }, { dry: "1" }));
  await api.http.post(pods, podNamed("unbound"));
  await api.http.post(pods, podNamed("bound", { nodeName: "node-1" }));
  await api.http.post("/api/v1/namespaces", { metadata: { name: "full" } });
  await api.http.post("/api/v1/namespaces/default/serviceaccounts", { metadata: { name: "robot" } });
});
after(() => api[Symbol.asyncDispose]());

const names = ({ json }: Answer): string[] => json.items.map((item: Json) => item.metadata.name);
const merge = { "content-type": "application/merge-patch+json" };
const debug = { spec: { ephemeralContainers: [{ name: "debug", image: "tools", terminationMessagePolicy: "File" }] } };

interface Write extends RequestOptions {
  readonly method: "POST" | "PUT" | "PATCH" | "DELETE";
  readonly path: string;
  /** What is told of what would be there. */
  readonly says?: (json: Json) => unknown;
}

const dryWrites: { readonly [what: string]: Write } = {
  "a creation": { method: "POST", path: configMaps, body: configMapNamed("new"), says: (json) => json.metadata.name === "new" },
  "a creation with a generated name": { method: "POST", path: configMaps, body: { metadata: { generateName: "new-" } } },
  "a namespace": { method: "POST", path: "/api/v1/namespaces", body: { metadata: { name: "new" } } },
  "an update": {
    method: "PUT",
    path: `${configMaps}/there`,
    body: configMapNamed("there", { a: "2" }),
    says: (json) => json.data.a === "2",
  },
  "a patch": {
    method: "PATCH",
    path: `${configMaps}/there`,
    body: { data: { a: "2" } },
    headers: merge,
    says: (json) => json.data.a === "2",
  },
  "a status": {
    method: "PATCH",
    path: `${pods}/bound/status`,
    body: { status: { phase: "Failed" } },
    headers: merge,
    says: (json) => json.status.phase === "Failed",
  },
  "an ephemeral container": { method: "PATCH", path: `${pods}/bound/ephemeralcontainers`, body: debug, headers: merge },
  "a namespace's last finalizer": {
    method: "PUT",
    path: "/api/v1/namespaces/full/finalize",
    body: { metadata: { name: "full" }, spec: {} },
  },
  "a deletion": { method: "DELETE", path: `${configMaps}/there` },
  "a deletion with grace": { method: "DELETE", path: `${pods}/bound`, says: (json) => json.metadata.deletionTimestamp !== undefined },
  "a deletion at once": { method: "DELETE", path: `${pods}/bound?gracePeriodSeconds=0` },
  "a deletion of many": { method: "DELETE", path: `${configMaps}?labelSelector=dry`, says: (json) => json.items.length === 1 },
  "a binding": { method: "POST", path: `${pods}/unbound/binding`, body: { target: { name: "node-1" } } },
  "a binding of the namespace": {
    method: "POST",
    path: "/api/v1/namespaces/default/bindings",
    body: { metadata: { name: "unbound" }, target: { name: "node-1" } },
  },
  "an eviction": { method: "POST", path: `${pods}/bound/eviction`, body: { metadata: { name: "bound" } } },
};

for (const [what, { method, path, says, ...request }] of Object.entries(dryWrites)) {
  test(`a dry run of ${what} answers as it would and writes nothing`, async () => {
    const before = await api.store.currentRevision();
    const answer = await api.http.send(method, `${path}${path.includes("?") ? "&" : "?"}dryRun=All`, request);
    assert.ok([200, 201].includes(answer.status), answer.text);
    assert.ok(says?.(answer.json) ?? true, answer.text);
    assert.equal(await api.store.currentRevision(), before);
  });
}

test("a deletion and an eviction may be told in their options that they are a dry run", async () => {
  const before = await api.store.currentRevision();
  const options = { kind: "DeleteOptions", apiVersion: "v1", dryRun: ["All"] };
  for (const path of [`${configMaps}/there`, `${pods}/bound`, configMaps])
    assert.equal((await api.http.send("DELETE", path, { body: options })).status, 200, path);
  const eviction = { metadata: { name: "bound" }, deleteOptions: options };
  assert.equal((await api.http.post(`${pods}/bound/eviction`, eviction)).status, 201);
  assert.equal(await api.store.currentRevision(), before);
});

test("a dry run is refused what would be refused", async () => {
  const refused: [Answer, number][] = [
    [await api.http.post(`${configMaps}?dryRun=All`, configMapNamed("there")), 409],
    [await api.http.post(`${configMaps}?dryRun=All`, configMapNamed("Bad_Name")), 422],
    [await api.http.send("DELETE", `${configMaps}/nobody?dryRun=All`), 404],
    [await api.http.post(`${pods}/bound/binding?dryRun=All`, { target: { name: "node-2" } }), 409],
    [await api.http.send("DELETE", `${configMaps}/there?dryRun=Some`), 400],
  ];
  for (const [answer, status] of refused) assert.equal(answer.status, status, answer.text);
});

// Fields that nobody knows.

const unknown = { dataa: {} };
const manners: { readonly [what: string]: (query: string) => Promise<Answer> } = {
  "a creation": (query) => api.http.post(`${configMaps}?dryRun=All&${query}`, { ...configMapNamed("odd"), ...unknown }),
  "an update": (query) =>
    api.http.send("PUT", `${configMaps}/there?dryRun=All&${query}`, { body: { ...configMapNamed("there"), ...unknown } }),
  "a JSON patch": (query) => api.http.patch(`${configMaps}/there?dryRun=All&${query}`, "json", [{ op: "add", path: "/dataa", value: {} }]),
  "a merge patch": (query) => api.http.patch(`${configMaps}/there?dryRun=All&${query}`, "merge", unknown),
  "a strategic merge patch": (query) => api.http.patch(`${configMaps}/there?dryRun=All&${query}`, "strategic-merge", unknown),
};
for (const [what, write] of Object.entries(manners)) {
  test(`${what} with an unknown field is refused, warned of or taken, as fieldValidation says`, async () => {
    const strict = await write("fieldValidation=Strict");
    assert.deepEqual([strict.status, strict.json.reason], [400, "BadRequest"], strict.text);
    assert.match(strict.json.message, /dataa: unknown field, did you mean data\?/);
    for (const query of ["fieldValidation=Warn", ""]) {
      const warned = await write(query);
      assert.ok(warned.status < 300, warned.text);
      assert.match(String(warned.headers["warning"]), /^299 - "dataa: unknown field/);
      assert.equal(warned.json.dataa, undefined);
    }
    const ignored = await write("fieldValidation=Ignore");
    assert.deepEqual([ignored.status < 300, ignored.headers["warning"], ignored.json.dataa], [true, undefined, undefined]);
    assert.equal((await write("fieldValidation=Maybe")).status, 400);
  });
}

// Which objects of a collection.

test("a collection is deleted as far as labels and fields select, with the options of one deletion", async () => {
  const path = "/api/v1/namespaces/full/pods";
  const spec = { nodeName: "node-1", terminationGracePeriodSeconds: 30 };
  for (const [name, labels] of [
    ["a", { app: "x" }],
    ["b", { app: "x" }],
    ["c", { app: "y" }],
  ] as const)
    await api.http.post(path, podNamed(name, spec, labels));
  await api.http.post(path, podNamed("elsewhere", { nodeName: "node-2" }, { app: "x" }));
  const query = "labelSelector=app%3Dx&fieldSelector=spec.nodeName%3Dnode-1";
  const graceful = await api.http.send("DELETE", `${path}?${query}`, { body: { gracePeriodSeconds: 7 } });
  assert.deepEqual(names(graceful), ["a", "b"]);
  const grace = async () =>
    (await api.http.get(path)).json.items.map(({ metadata }: Json) => [metadata.name, metadata.deletionGracePeriodSeconds]);
  assert.deepEqual(await grace(), [
    ["a", 7],
    ["b", 7],
    ["c", undefined],
    ["elsewhere", undefined],
  ]);
  await api.http.send("DELETE", `${path}?${query}&gracePeriodSeconds=0`);
  assert.deepEqual(names(await api.http.get(path)), ["c", "elsewhere"]);
  assert.equal((await api.http.send("DELETE", `${path}?fieldSelector=spec.image%3Dx`)).status, 400);
});

test("no more of a collection is deleted than its limit", async () => {
  const path = "/api/v1/namespaces/full/configmaps";
  for (const name of ["a", "b", "c"]) await api.http.post(path, configMapNamed(name, {}, { some: "1" }));
  const some = await api.http.send("DELETE", `${path}?labelSelector=some&limit=2`);
  assert.deepEqual(names(some), ["a", "b"]);
  assert.deepEqual(names(await api.http.get(`${path}?labelSelector=some`)), ["c"]);
});

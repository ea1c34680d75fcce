import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { Agent, request } from "node:https";
import { after, before, test } from "node:test";
import type { TLSSocket } from "node:tls";
import { configMapNamed, podNamed } from "./testing/objects.ts";
import { startTestApi, type TestApi } from "./testing/test-api.ts";

const pods = "/api/v1/namespaces/default/pods";
const configMaps = "/api/v1/namespaces/default/configmaps";

let api: TestApi;
before(async () => {
  api = await startTestApi();
});
after(() => api[Symbol.asyncDispose]());

/** What a refusal is recognised by. */
function refusal(answer: { status: number; json: { reason?: string } }) {
  return [answer.status, answer.json?.reason];
}

// Who may ask.

test("strangers learn whether the server is well, and nothing else", async () => {
  const stranger = api.client();
  for (const path of ["/healthz", "/livez", "/readyz"]) {
    const answer = await stranger.get(path);
    assert.deepEqual([answer.status, answer.text], [200, "ok"], path);
  }
  assert.equal((await stranger.get("/version")).json.minor, "36");
  for (const path of ["/", "/api", "/apis", "/openapi/v3", pods, "/nothing"]) {
    assert.deepEqual(refusal(await stranger.get(path)), [401, "Unauthorized"], path);
  }
  assert.deepEqual(refusal(await stranger.post(pods, podNamed("a"))), [401, "Unauthorized"]);
});

test("a token serves as well as a certificate, a wrong one does not", async () => {
  assert.equal((await api.client({ token: api.adminToken }).get(pods)).status, 200);
  assert.deepEqual(refusal(await api.client({ token: "wrong" }).get(pods)), [401, "Unauthorized"]);
});

test("a certificate of another CA is no credential", async () => {
  const { Pki } = await import("../auth/pki.ts");
  const other = await Pki.open(`${api.dir}/other`);
  const pair = await other.authority.issue({ commonName: "admin", organizations: ["system:masters"], usages: ["client"] });
  assert.deepEqual(refusal(await api.client({ cert: pair.certPem, key: pair.keyPem }).get(pods)), [401, "Unauthorized"]);
});

test("a resumed TLS session is worth as much as the certificate it began with", async () => {
  const admin = { cert: await readFile(`${api.pki.dir}/admin.crt`), key: await readFile(`${api.pki.dir}/admin.key`) };
  for (const [credentials, status] of [
    [{}, 401],
    [admin, 200],
  ] as const) {
    const agent = new Agent({ ca: api.pki.authority.pair.certPem, keepAlive: false, ...credentials });
    const get = () =>
      new Promise<{ status: number | undefined; reused: boolean }>((resolve, reject) => {
        const call = request(api.url + pods, { agent }, (response) => {
          const reused = (response.socket as TLSSocket).isSessionReused();
          response.resume().once("end", () => resolve({ status: response.statusCode, reused }));
        });
        call.once("error", reject).end();
      });
    assert.deepEqual(await get(), { status, reused: false });
    assert.deepEqual(await get(), { status, reused: true });
  }
});

test("a node's certificate opens nothing here", async () => {
  const pair = await api.pki.authority.issue({ commonName: "system:node:n", organizations: ["system:nodes"], usages: ["client"] });
  const answer = await api.client({ cert: pair.certPem, key: pair.keyPem }).get(pods);
  assert.deepEqual(refusal(answer), [403, "Forbidden"]);
  assert.match(answer.json.message, /User "system:node:n" cannot list resource "pods".*node protocol/);
});

// What is there.

test("what is not served is not found, and what cannot be done is not allowed", async () => {
  for (const path of [
    "/api/v1/unicorns",
    "/api/v2/pods",
    "/apis/apps/v1/deployments",
    "/api/v1/nodes/x/proxy",
    "/api/v1/namespaces/default/nodes",
    "/foo",
  ]) {
    assert.deepEqual(refusal(await api.http.get(path)), [404, "NotFound"], path);
  }
  assert.deepEqual(refusal(await api.http.post("/api/v1/pods", podNamed("a"))), [405, "MethodNotAllowed"]);
  assert.deepEqual(refusal(await api.http.send("DELETE", "/api/v1/namespaces")), [405, "MethodNotAllowed"]);
});

test("discovery says the same in its old and its aggregated form", async () => {
  const old = await api.http.get("/api/v1");
  const accept = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
  const aggregated = await api.http.get("/api", { accept });
  assert.equal(aggregated.headers["content-type"], accept);
  const names = aggregated.json.items[0].versions[0].resources.flatMap(
    (each: { resource: string; subresources?: { subresource: string }[] }) => [
      each.resource,
      ...(each.subresources ?? []).map(({ subresource }) => `${each.resource}/${subresource}`),
    ],
  );
  assert.deepEqual(old.json.resources.map((each: { name: string }) => each.name).sort(), names.sort());
  assert.deepEqual((await api.http.get("/apis")).json.groups.map((each: { name: string }) => each.name).sort(), [
    "authentication.k8s.io",
    "authorization.k8s.io",
    "coordination.k8s.io",
    "events.k8s.io",
    "metrics.k8s.io",
    "policy",
  ]);
});

// Creating.

test("a created pod has identity, defaults and phase, and its bytes are what a read brings", async () => {
  const created = await api.http.post(pods, { ...podNamed("fresh"), status: { phase: "Running" } });
  assert.equal(created.status, 201);
  const { metadata, spec, status } = created.json;
  assert.match(metadata.uid, /^[0-9a-f-]{36}$/);
  assert.equal(metadata.namespace, "default");
  assert.equal(metadata.generation, 1);
  assert.equal(spec.restartPolicy, "Always");
  assert.deepEqual(status, { phase: "Pending", qosClass: "BestEffort" });
  assert.equal((await api.http.get(`${pods}/fresh`)).text, created.text);
  assert.equal((await api.http.get(`${pods}/fresh?resourceVersion=0`)).json.metadata.uid, metadata.uid);
});

test("the same name twice is AlreadyExists", async () => {
  await api.http.post(configMaps, configMapNamed("twice"));
  const answer = await api.http.post(configMaps, configMapNamed("twice"));
  assert.deepEqual(refusal(answer), [409, "AlreadyExists"]);
  assert.equal(answer.json.message, 'configmaps "twice" already exists');
  assert.deepEqual(answer.json.details, { name: "twice", kind: "configmaps" });
});

test("generateName makes names", async () => {
  const object = { ...configMapNamed(""), metadata: { generateName: "made-" } };
  const names = new Set<string>();
  for (let i = 0; i < 3; i++) names.add((await api.http.post(configMaps, object)).json.metadata.name);
  assert.equal(names.size, 3);
  for (const name of names) assert.match(name, /^made-[a-z0-9]{5}$/);
});

test("an invalid pod is refused with all its faults at once", async () => {
  const answer = await api.http.post(pods, podNamed("Bad", { restartPolicy: "Sometimes", containers: [{ name: "a" }] }));
  assert.deepEqual(refusal(answer), [422, "Invalid"]);
  assert.match(answer.json.message, /^Pod "Bad" is invalid: \[/);
  assert.deepEqual(answer.json.details.causes.map((cause: { field: string; reason: string }) => [cause.field, cause.reason]).sort(), [
    ["metadata.name", "FieldValueInvalid"],
    ["spec.containers[0].image", "FieldValueRequired"],
    ["spec.restartPolicy", "FieldValueNotSupported"],
  ]);
});

test("field validation refuses, warns or ignores", async () => {
  const object = { ...configMapNamed("fields"), dataa: {} };
  const strict = await api.http.post(`${configMaps}?fieldValidation=Strict`, object);
  assert.deepEqual(refusal(strict), [400, "BadRequest"]);
  assert.match(strict.json.message, /dataa: unknown field, did you mean data\?/);
  const warned = await api.http.post(`${configMaps}?dryRun=All`, object);
  assert.match(String(warned.headers["warning"]), /^299 - "dataa: unknown field/);
  assert.equal((await api.http.post(`${configMaps}?dryRun=All&fieldValidation=Ignore`, object)).headers["warning"], undefined);
  assert.deepEqual(refusal(await api.http.post(`${configMaps}?fieldValidation=Maybe`, object)), [400, "BadRequest"]);
});

test("YAML is as good as JSON, and its faults have lines", async () => {
  const yaml = { "content-type": "application/yaml" };
  const good = await api.http.send("POST", configMaps, { body: "metadata:\n  name: yaml\ndata:\n  a: b\n", headers: yaml });
  assert.equal(good.status, 201);
  assert.match((await api.http.get(`${configMaps}/yaml`, { accept: "application/yaml" })).text, /^data:\n {2}a: b$/m);
  const bad = await api.http.send("POST", `${configMaps}?fieldValidation=Strict`, {
    body: "metadata:\n  name: a\nfoo: 1\n",
    headers: yaml,
  });
  assert.match(bad.json.message, /foo: unknown field \(line 3\)/);
});

test("bodies that are too large or of an unknown sort are refused", async () => {
  const large = configMapNamed("large", { a: "x".repeat(3 * 1024 * 1024) });
  assert.deepEqual(refusal(await api.http.post(configMaps, large)), [413, "RequestEntityTooLarge"]);
  const answer = await api.http.send("POST", configMaps, { body: "<x/>", headers: { "content-type": "text/xml" } });
  assert.deepEqual(refusal(answer), [415, "UnsupportedMediaType"]);
  assert.deepEqual(refusal(await api.http.send("POST", configMaps)), [400, "BadRequest"]);
});

test("nothing is made in a namespace that is not there or on its way out", async () => {
  const missing = await api.http.post("/api/v1/namespaces/nowhere/configmaps", configMapNamed("a"));
  assert.deepEqual(refusal(missing), [404, "NotFound"]);
  assert.equal(missing.json.message, 'namespaces "nowhere" not found');
  await api.http.post("/api/v1/namespaces", { metadata: { name: "leaving" } });
  const leaving = await api.http.send("DELETE", "/api/v1/namespaces/leaving");
  assert.equal(leaving.json.status.phase, "Terminating");
  const late = await api.http.post("/api/v1/namespaces/leaving/configmaps", configMapNamed("a"));
  assert.deepEqual(refusal(late), [403, "Forbidden"]);
  assert.equal(late.json.details.causes[0].reason, "NamespaceTerminating");
});

test("a new namespace takes objects at once", async () => {
  await api.http.post("/api/v1/namespaces", { metadata: { name: "instant" } });
  assert.equal((await api.http.post("/api/v1/namespaces/instant/configmaps", configMapNamed("a"))).status, 201);
});

test("a namespace goes when its last finalizer does", async () => {
  const created = await api.http.post("/api/v1/namespaces", { metadata: { name: "final" } });
  assert.deepEqual(created.json.spec.finalizers, ["kubernetes"]);
  assert.equal(created.json.metadata.labels["kubernetes.io/metadata.name"], "final");
  await api.http.send("DELETE", "/api/v1/namespaces/final");
  const finalized = await api.http.send("PUT", "/api/v1/namespaces/final/finalize", {
    body: { ...created.json, metadata: { name: "final" }, spec: {} },
  });
  assert.equal(finalized.status, 200);
  assert.deepEqual(refusal(await api.http.get("/api/v1/namespaces/final")), [404, "NotFound"]);
});

test("a dry run changes nothing", async () => {
  assert.equal((await api.http.post(`${configMaps}?dryRun=All`, configMapNamed("dry"))).status, 201);
  assert.equal((await api.http.get(`${configMaps}/dry`)).status, 404);
  await api.http.post(configMaps, configMapNamed("dry", { a: "1" }));
  await api.http.patch(`${configMaps}/dry?dryRun=All`, "merge", { data: { a: "2" } });
  await api.http.send("DELETE", `${configMaps}/dry?dryRun=All`);
  assert.deepEqual((await api.http.get(`${configMaps}/dry`)).json.data, { a: "1" });
  assert.deepEqual(refusal(await api.http.post(`${configMaps}?dryRun=Some`, configMapNamed("x"))), [400, "BadRequest"]);
});

// Changing.

test("an update with an old resourceVersion is a Conflict, without one it is the last word", async () => {
  const created = (await api.http.post(configMaps, configMapNamed("put", { a: "1" }))).json;
  const updated = await api.http.send("PUT", `${configMaps}/put`, { body: { ...created, data: { a: "2" } } });
  assert.equal(updated.status, 200);
  assert.ok(Number(updated.json.metadata.resourceVersion) > Number(created.metadata.resourceVersion));
  const stale = await api.http.send("PUT", `${configMaps}/put`, { body: { ...created, data: { a: "3" } } });
  assert.deepEqual(refusal(stale), [409, "Conflict"]);
  assert.match(stale.json.message, /^Operation cannot be fulfilled on configmaps "put": the object has been modified/);
  assert.equal((await api.http.send("PUT", `${configMaps}/put`, { body: configMapNamed("put", { a: "4" }) })).json.data.a, "4");
  const other = { ...configMapNamed("put"), metadata: { name: "put", uid: "someone-else" } };
  assert.deepEqual(refusal(await api.http.send("PUT", `${configMaps}/put`, { body: other })), [409, "Conflict"]);
});

test("an update that changes nothing writes nothing", async () => {
  const created = (await api.http.post(configMaps, configMapNamed("same", { a: "1" }))).json;
  const updated = await api.http.send("PUT", `${configMaps}/same`, { body: configMapNamed("same", { a: "1" }) });
  assert.equal(updated.json.metadata.resourceVersion, created.metadata.resourceVersion);
});

test("an update names the object of its URL", async () => {
  assert.deepEqual(refusal(await api.http.send("PUT", `${configMaps}/put`, { body: configMapNamed("tup") })), [400, "BadRequest"]);
  assert.deepEqual(refusal(await api.http.send("PUT", `${configMaps}/gone`, { body: configMapNamed("gone") })), [404, "NotFound"]);
  const elsewhere = { ...configMapNamed("put"), metadata: { name: "put", namespace: "other" } };
  assert.deepEqual(refusal(await api.http.send("PUT", `${configMaps}/put`, { body: elsewhere })), [400, "BadRequest"]);
});

test("the creator of a pod is told of wishes that nothing acts on", async () => {
  const pod = podNamed("wishful", { schedulingGroup: { podGroupName: "all" } });
  const answer = await api.http.post(`${pods}?dryRun=All`, pod);
  assert.equal(answer.status, 201);
  assert.match(answer.headers["warning"] ?? "", /^299 - "spec\.schedulingGroup: /);
});

test("a pod that names a runtime is refused, as there is none of that name", async () => {
  const pod = podNamed("sandboxed");
  const answer = await api.http.post(pods, { ...pod, spec: { ...pod.spec, runtimeClassName: "kata" } });
  assert.deepEqual(refusal(answer), [403, "Forbidden"]);
  assert.match(answer.json.message, /^pods "sandboxed" is forbidden: pod rejected: RuntimeClass "kata" not found/);
});

test("keys of labels become part of the selector, and the manifest can be sent again", async () => {
  const selector = { matchLabels: { app: "web" } };
  const term = { topologyKey: "kubernetes.io/hostname", labelSelector: selector, matchLabelKeys: ["hash"] };
  const pod = podNamed("keyed", {}, { app: "web", hash: "1" });
  const manifest = {
    ...pod,
    spec: { ...pod.spec, affinity: { podAntiAffinity: { requiredDuringSchedulingIgnoredDuringExecution: [term] } } },
  };
  const created = await api.http.post(pods, manifest);
  const [stored] = created.json.spec.affinity.podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution;
  const merged = { ...selector, matchExpressions: [{ key: "hash", operator: "In", values: ["1"] }] };
  assert.deepEqual(stored, { ...term, labelSelector: merged });
  const replaced = await api.http.send("PUT", `${pods}/keyed`, { body: manifest });
  assert.equal(replaced.status, 200, JSON.stringify(replaced.json));
  assert.deepEqual(replaced.json.spec.affinity, created.json.spec.affinity);
});

test("patches of all sorts find their object", async () => {
  await api.http.post(pods, podNamed("patched", {}, { a: "1" }));
  const merged = await api.http.patch(`${pods}/patched`, "merge", { metadata: { labels: { b: "2" } } });
  assert.deepEqual(merged.json.metadata.labels, { a: "1", b: "2" });
  const strategic = await api.http.patch(`${pods}/patched`, "strategic-merge", { spec: { containers: [{ name: "web", image: "web:2" }] } });
  assert.equal(strategic.json.spec.containers[0].image, "web:2");
  assert.equal(strategic.json.metadata.generation, 2);
  const jsonPatch = await api.http.patch(`${pods}/patched`, "json", [{ op: "remove", path: "/metadata/labels/a" }]);
  assert.deepEqual(jsonPatch.json.metadata.labels, { b: "2" });
});

test("a patch that breaks the object's rules is refused as an update would be", async () => {
  await api.http.post(pods, podNamed("fixed"));
  const answer = await api.http.patch(`${pods}/fixed`, "merge", { spec: { hostname: "x" } });
  assert.deepEqual(refusal(answer), [422, "Invalid"]);
  assert.match(answer.json.message, /spec: Forbidden: pod updates may not change fields other than.*changed: spec\.hostname/);
  assert.deepEqual(refusal(await api.http.patch(`${pods}/fixed`, "merge", { metadata: { name: "x" } })), [400, "BadRequest"]);
  assert.deepEqual(refusal(await api.http.patch(`${pods}/fixed`, "merge", { metadata: { resourceVersion: "1" } })), [409, "Conflict"]);
  assert.deepEqual(refusal(await api.http.patch(`${pods}/fixed?fieldValidation=Strict`, "merge", { speck: {} })), [400, "BadRequest"]);
});

test("a field that a patch has twice counts as one that is not known", async () => {
  assert.equal((await api.http.post(configMaps, configMapNamed("repeated"))).status, 201);
  const patch = (validation: string) =>
    api.http.send("PATCH", `${configMaps}/repeated?fieldValidation=${validation}`, {
      body: '{"data": {"a": "1", "a": "2"}}',
      headers: { "content-type": "application/merge-patch+json" },
    });
  const strict = await patch("Strict");
  assert.deepEqual(refusal(strict), [400, "BadRequest"]);
  assert.match(strict.json.message, /strict decoding error: data\.a: duplicate field/);
  const warned = await patch("Warn");
  assert.deepEqual([warned.json.data, warned.headers["warning"]], [{ a: "2" }, '299 - "data.a: duplicate field"']);
  assert.equal((await patch("Ignore")).headers["warning"], undefined);
});

test("a patch as deep as the body allows is a bad request, and the server lives", async () => {
  for (const type of ["merge", "strategic-merge"]) {
    const body = `${'{"a":'.repeat(200_000)}1${"}".repeat(200_000)}`;
    const answer = await api.http.send("PATCH", `${configMaps}/put`, {
      body,
      headers: { "content-type": `application/${type}-patch+json` },
    });
    assert.equal(answer.status, 400, type);
  }
  assert.equal((await api.http.get(`${configMaps}/put`)).status, 200);
});

test("server-side apply says what to use instead", async () => {
  const headers = { "content-type": "application/apply-patch+yaml" };
  const answer = await api.http.send("PATCH", `${configMaps}/put?fieldManager=a`, { body: "data: {}", headers });
  assert.deepEqual(refusal(answer), [415, "UnsupportedMediaType"]);
  assert.match(answer.json.message, /server-side apply is not supported yet; use client-side apply/);
});

test("twenty patches at once all count", async () => {
  await api.http.post(configMaps, configMapNamed("busy"));
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, index) => api.http.patch(`${configMaps}/busy`, "merge", { data: { [`k${index}`]: "x" } })),
  );
  assert.deepEqual(new Set(answers.map((answer) => answer.status)), new Set([200]));
  assert.equal(Object.keys((await api.http.get(`${configMaps}/busy`)).json.data).length, 20);
});

test("status is changed through its subresource only", async () => {
  await api.http.post(pods, podNamed("status"));
  const answer = await api.http.patch(`${pods}/status/status`, "merge", { status: { phase: "Running" }, spec: { hostname: "x" } });
  assert.deepEqual([answer.json.status.phase, answer.json.spec.hostname], ["Running", undefined]);
  const wrongWay = await api.http.patch(`${pods}/status`, "merge", { status: { phase: "Failed" } });
  assert.equal(wrongWay.json.status.phase, "Running");
});

// Removing.

test("a pod on a node gets its grace, and goes at once when forced", async () => {
  await api.http.post(pods, podNamed("graceful", { terminationGracePeriodSeconds: 7, nodeName: "node-1" }));
  const first = await api.http.send("DELETE", `${pods}/graceful`);
  assert.equal(first.json.metadata.deletionGracePeriodSeconds, 7);
  assert.notEqual(first.json.metadata.deletionTimestamp, undefined);
  const shorter = await api.http.send("DELETE", `${pods}/graceful`, {
    body: { kind: "DeleteOptions", apiVersion: "v1", gracePeriodSeconds: 1 },
  });
  assert.equal(shorter.json.metadata.deletionGracePeriodSeconds, 1);
  await api.http.send("DELETE", `${pods}/graceful?gracePeriodSeconds=0`);
  assert.equal((await api.http.get(`${pods}/graceful`)).status, 404);
});

test("a finalizer holds an object until somebody takes it away", async () => {
  const object = configMapNamed("held");
  await api.http.post(configMaps, { ...object, metadata: { name: "held", finalizers: ["example.com/hold"] } });
  const deleted = await api.http.send("DELETE", `${configMaps}/held`);
  assert.notEqual(deleted.json.metadata.deletionTimestamp, undefined);
  const added = await api.http.patch(`${configMaps}/held`, "merge", { metadata: { finalizers: ["example.com/hold", "example.com/more"] } });
  assert.deepEqual(refusal(added), [422, "Invalid"]);
  assert.equal((await api.http.patch(`${configMaps}/held`, "merge", { metadata: { finalizers: null } })).status, 200);
  assert.equal((await api.http.get(`${configMaps}/held`)).status, 404);
});

test("preconditions protect from deleting another object", async () => {
  const { uid, resourceVersion } = (await api.http.post(configMaps, configMapNamed("pre"))).json.metadata;
  for (const preconditions of [{ uid: "other" }, { resourceVersion: "1" }]) {
    assert.deepEqual(refusal(await api.http.send("DELETE", `${configMaps}/pre`, { body: { preconditions } })), [409, "Conflict"]);
  }
  const answer = await api.http.send("DELETE", `${configMaps}/pre`, { body: { preconditions: { uid, resourceVersion } } });
  assert.deepEqual([answer.json.kind, answer.json.status, answer.json.details.uid], ["Status", "Success", uid]);
  assert.deepEqual(refusal(await api.http.send("DELETE", `${configMaps}/pre`)), [404, "NotFound"]);
});

test("what becomes of dependents can be said in the old words and the new ones, but not in both", async () => {
  const object = { ...configMapNamed(""), metadata: { generateName: "owner-", finalizers: ["example.com/hold"] } };
  const finalizersAfter = async (body: object, query = "") => {
    const { name } = (await api.http.post(configMaps, object)).json.metadata;
    const { status, json } = await api.http.send("DELETE", `${configMaps}/${name}${query}`, { body });
    return status === 200 ? json.metadata.finalizers : status;
  };
  assert.deepEqual(await finalizersAfter({ orphanDependents: true }), ["example.com/hold", "orphan"]);
  assert.deepEqual(await finalizersAfter({ orphanDependents: false }), ["example.com/hold"]);
  assert.deepEqual(await finalizersAfter({ propagationPolicy: "Orphan" }), ["example.com/hold", "orphan"]);
  assert.deepEqual(await finalizersAfter({}, "?propagationPolicy=Foreground"), ["example.com/hold", "foregroundDeletion"]);
  assert.equal(await finalizersAfter({ orphanDependents: true, propagationPolicy: "Orphan" }), 422);
  assert.equal(await finalizersAfter({ propagationPolicy: "Sideways" }), 422);
});

test("a collection is deleted as far as it is selected", async () => {
  for (const [name, group] of [
    ["d1", "x"],
    ["d2", "x"],
    ["d3", "y"],
  ] as const)
    await api.http.post(configMaps, configMapNamed(name, {}, { group }));
  const answer = await api.http.send("DELETE", `${configMaps}?labelSelector=group%3Dx`);
  assert.equal(answer.json.items.length, 2);
  assert.deepEqual(
    (await api.http.get(`${configMaps}?labelSelector=group`)).json.items.map((item: { metadata: { name: string } }) => item.metadata.name),
    ["d3"],
  );
});

test("a gated pod waits outside of scheduling until its gates are gone", async () => {
  const gated = podNamed("gated");
  const spec = { ...gated.spec, schedulingGates: [{ name: "example.com/a" }, { name: "example.com/b" }] };
  const created = await api.http.post(pods, { ...gated, spec });
  const [condition] = created.json.status.conditions;
  assert.deepEqual([condition.type, condition.status, condition.reason], ["PodScheduled", "False", "SchedulingGated"]);
  const binding = { metadata: { name: "gated" }, target: { kind: "Node", name: "node-7" } };
  assert.deepEqual(refusal(await api.http.post(`${pods}/gated/binding`, binding)), [409, "Conflict"]);
  const regate = (...names: string[]) => {
    const schedulingGates = names.length === 0 ? null : names.map((name) => ({ name }));
    return api.http.patch(`${pods}/gated`, "merge", { spec: { schedulingGates } });
  };
  const added = await regate("example.com/a", "example.com/c");
  assert.deepEqual(refusal(added), [422, "Invalid"]);
  assert.match(added.json.message, /only deletion is allowed, but found new scheduling gate 'example\.com\/c'/);
  assert.equal((await regate("example.com/b")).status, 200);
  assert.equal((await regate()).status, 200);
  assert.equal((await api.http.post("/api/v1/namespaces/default/bindings", binding)).status, 201);
  const bound = await api.http.get(`${pods}/gated`);
  assert.equal(bound.json.spec.nodeName, "node-7");
  assert.deepEqual(
    bound.json.status.conditions.map((each: { type: string; status: string }) => [each.type, each.status]),
    [["PodScheduled", "True"]],
  );
});

test("bindings of a namespace name their pod in the body", async () => {
  const path = "/api/v1/namespaces/default/bindings";
  const target = { kind: "Node", name: "node-7" };
  assert.deepEqual(refusal(await api.http.post(path, { target })), [422, "Invalid"]);
  assert.deepEqual(refusal(await api.http.post(path, { metadata: { name: "x", namespace: "other" }, target })), [400, "BadRequest"]);
  assert.deepEqual(refusal(await api.http.post(path, { metadata: { name: "nobody" }, target })), [404, "NotFound"]);
});

test("eviction deletes, binding binds once", async () => {
  await api.http.post(pods, podNamed("bound"));
  const binding = { apiVersion: "v1", kind: "Binding", metadata: { name: "bound" }, target: { kind: "Node", name: "node-7" } };
  assert.equal((await api.http.post(`${pods}/bound/binding`, binding)).json.status, "Success");
  const pod = (await api.http.get(`${pods}/bound`)).json;
  assert.equal(pod.spec.nodeName, "node-7");
  assert.equal(pod.metadata.generation, 1);
  assert.equal(pod.status.conditions.find((condition: { type: string }) => condition.type === "PodScheduled").status, "True");
  assert.deepEqual(refusal(await api.http.post(`${pods}/bound/binding`, binding)), [409, "Conflict"]);
  assert.deepEqual(refusal(await api.http.post(`${pods}/bound/binding`, { ...binding, target: {} })), [422, "Invalid"]);
  const eviction = { apiVersion: "policy/v1", kind: "Eviction", metadata: { name: "bound" }, deleteOptions: { gracePeriodSeconds: 3 } };
  assert.equal((await api.http.post(`${pods}/bound/eviction`, eviction)).status, 201);
  const evicted = (await api.http.get(`${pods}/bound`)).json;
  assert.equal(evicted.metadata.deletionGracePeriodSeconds, 3);
  const target = evicted.status.conditions.find((condition: { type: string }) => condition.type === "DisruptionTarget");
  assert.deepEqual([target?.status, target?.reason], ["True", "EvictionByEvictionAPI"]);
});

test("who asks is told who they are", async () => {
  const review = { apiVersion: "authentication.k8s.io/v1", kind: "SelfSubjectReview" };
  const answer = await api.client({ token: api.adminToken }).post("/apis/authentication.k8s.io/v1/selfsubjectreviews", review);
  assert.deepEqual(answer.json.status.userInfo, { username: "token-admin", groups: ["system:masters", "system:authenticated"] });
});

test("large answers are compressed for those who can read it", async () => {
  for (let i = 0; i < 4; i++) await api.http.post(configMaps, configMapNamed(`zip-${i}`, { a: "x".repeat(60_000) }, { zip: "1" }));
  const path = `${configMaps}?labelSelector=zip`;
  const plain = await api.http.get(path);
  const zipped = await api.http.get(path, { "accept-encoding": "gzip" });
  assert.equal(plain.headers["content-encoding"], undefined);
  assert.equal(zipped.headers["content-encoding"], "gzip");
  assert.ok(zipped.bytes.length < plain.bytes.length / 10);
  assert.deepEqual(zipped.json.items, plain.json.items);
  assert.equal((await api.http.get("/api", { "accept-encoding": "gzip" })).headers["content-encoding"], undefined);
});

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import type { PodDisruptionBudget } from "@tessera/proto";
import { startTestApi, type TestApi } from "../api/testing/test-api.ts";
import { systemClock } from "./clock.ts";
import { disruptionBudgets } from "./disruption-budgets.ts";
import { eventually, RecordedEvents, silentLog } from "./testing/fakes.ts";

/*
 * Budgets and evictions together, on a real API: the one says what the other may do. Each test has labels of its own.
 */

let api: TestApi;
const stop = new AbortController();
let running: Promise<void>;
before(async () => {
  api = await startTestApi();
  const deps = { registry: api.registry, clock: systemClock, events: new RecordedEvents(), log: silentLog, clusterCaPem: "PEM" };
  running = disruptionBudgets(deps).run(stop.signal);
});
after(async () => {
  stop.abort();
  await running;
  await api[Symbol.asyncDispose]();
});

const budgets = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";

async function makePod(name: string, app: string, ready = true): Promise<void> {
  const { pods } = api.registry;
  await pods.create({
    metadata: { name, namespace: "default", labels: { app } },
    spec: { nodeName: "node-1", containers: [{ name: "main", image: "example/web:1" }] },
  });
  const conditions = [{ type: "Ready", status: ready ? "True" : "False" }];
  await pods.mutate("default", name, (pod) => ({ ...pod, status: { ...pod.status, phase: "Running", conditions } }));
}

async function makeBudget(app: string, spec: object): Promise<void> {
  const answer = await api.http.post(budgets, { metadata: { name: app }, spec: { selector: { matchLabels: { app } }, ...spec } });
  assert.equal(answer.status, 201, answer.text);
}

/** Waits until the budget's status is of its spec and of so many healthy pods; returns it. */
async function settled(app: string, currentHealthy: number): Promise<NonNullable<PodDisruptionBudget["status"]>> {
  const status = () => api.registry.podDisruptionBudgets.cache.get("default", app)?.value.status;
  await eventually(
    `${app} counts ${currentHealthy}`,
    () => status()?.observedGeneration !== undefined && status()?.currentHealthy === currentHealthy,
  );
  return status() ?? {};
}

function evict(name: string, query = "") {
  return api.http.post(`/api/v1/namespaces/default/pods/${name}/eviction${query}`, {
    apiVersion: "policy/v1",
    kind: "Eviction",
    metadata: { name },
  });
}

test("as many are evicted as the budget allows, and the next one hears why not", async () => {
  for (const name of ["web-1", "web-2", "web-3"]) await makePod(name, "web");
  await makeBudget("web", { minAvailable: 2 });
  const { disruptionsAllowed, desiredHealthy, expectedPods, conditions } = await settled("web", 3);
  assert.deepEqual([disruptionsAllowed, desiredHealthy, expectedPods, conditions?.[0]?.reason], [1, 2, 3, "SufficientPods"]);
  assert.equal((await evict("web-1", "?dryRun=All")).status, 201);
  assert.equal((await evict("web-1")).status, 201);
  const refused = await evict("web-2");
  assert.deepEqual([refused.status, refused.json.reason], [429, "TooManyRequests"]);
  assert.match(refused.json.message, /would violate the pod's disruption budget/);
  assert.equal((await evict("web-2", "?dryRun=All")).status, 429);
  const status = () => api.registry.podDisruptionBudgets.cache.get("default", "web")?.value.status;
  await eventually("the eviction is seen", () => status()?.disruptedPods === undefined);
  assert.deepEqual([status()?.disruptionsAllowed, status()?.conditions?.[0]?.reason], [0, "InsufficientPods"]);
  const [cause] = (await evict("web-2")).json.details.causes;
  assert.deepEqual(cause, { reason: "DisruptionBudget", message: "The disruption budget web needs 2 healthy pods and has 2 currently" });
  await makePod("web-4", "web");
  assert.equal((await settled("web", 3)).disruptionsAllowed, 1);
  assert.equal((await evict("web-2")).status, 201);
});

test("evictions at the same moment do not spend more than there is", async () => {
  const names = Array.from({ length: 5 }, (_, at) => `rush-${at}`);
  for (const name of names) await makePod(name, "rush");
  await makeBudget("rush", { minAvailable: 3 });
  await settled("rush", 5);
  const answers = await Promise.all(names.map((name) => evict(name)));
  assert.deepEqual(answers.map(({ status }) => status).sort(), [201, 201, 429, 429, 429]);
});

test("what nobody misses goes whatever the budget says, and so do those that are not ready when enough are", async () => {
  await makeBudget("sick", { minAvailable: 1 });
  await makePod("sick-1", "sick", false);
  await makePod("sick-2", "sick");
  await settled("sick", 1);
  assert.equal((await evict("sick-2")).status, 429);
  assert.equal((await evict("sick-1")).status, 201);
  await api.registry.pods.mutate("default", "sick-2", (pod) => ({ ...pod, status: { ...pod.status, phase: "Succeeded" } }));
  assert.equal((await evict("sick-2")).status, 201);
});

test("pods without a controller have no percentages: nothing is allowed, and a second budget is a mistake", async () => {
  await makePod("half-1", "half");
  await makeBudget("half", { maxUnavailable: "50%" });
  assert.equal((await settled("half", 1)).disruptionsAllowed, 0);
  assert.equal((await evict("half-1")).status, 429);
  const second = { metadata: { name: "half-again" }, spec: { selector: { matchLabels: { app: "half" } }, minAvailable: 0 } };
  assert.equal((await api.http.post(budgets, second)).status, 201);
  await settled("half-again", 1);
  const answer = await evict("half-1");
  assert.deepEqual([answer.status, answer.json.reason], [500, "InternalError"]);
});

test("a budget says one amount, and a possible one", async () => {
  const fields = async (spec: object) => {
    const answer = await api.http.post(budgets, { metadata: { name: "bad" }, spec });
    assert.equal(answer.status, 422, answer.text);
    return answer.json.details.causes.map((cause: { field: string }) => cause.field);
  };
  assert.deepEqual(await fields({ minAvailable: 1, maxUnavailable: 1 }), ["spec"]);
  assert.deepEqual(await fields({ minAvailable: -1 }), ["spec.minAvailable"]);
  assert.deepEqual(await fields({ maxUnavailable: "101%" }), ["spec.maxUnavailable"]);
  assert.deepEqual(await fields({ maxUnavailable: "some" }), ["spec.maxUnavailable"]);
});

test("kubectl makes and shows budgets", async () => {
  const made = await api.kubectl(["create", "pdb", "shown", "--selector=app=shown", "--min-available=1"]);
  assert.equal(made.stdout, "poddisruptionbudget.policy/shown created\n", made.stderr);
  const { stdout } = await api.kubectl(["get", "pdb", "shown"]);
  assert.match(stdout, /^NAME +MIN AVAILABLE +MAX UNAVAILABLE +ALLOWED DISRUPTIONS +AGE\nshown +1 +N\/A +0 +\d+s\n$/);
});

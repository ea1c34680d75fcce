import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import { TesseraError } from "@tessera/proto";
import { node, type PodBuilder, pod } from "../controllers/testing/builders.ts";
import { eventually, ManualClock, RecordedEvents, silentLog } from "../controllers/testing/fakes.ts";
import { MemoryRegistry } from "../controllers/testing/memory-registry.ts";
import { Scheduler } from "./scheduler.ts";

async function start(t: TestContext, registry = new MemoryRegistry()) {
  const clock = new ManualClock();
  const events = new RecordedEvents();
  const scheduler = new Scheduler({ registry, clock, events, log: silentLog });
  const stop = new AbortController();
  let running = Promise.resolve();
  await new Promise<void>((ready) => {
    running = scheduler.run(stop.signal, ready);
  });
  const end = async (): Promise<void> => {
    stop.abort();
    await running;
  };
  t.after(end);
  const nodeOf = (name: string) => registry.pods.cache.get("default", name)?.value.spec?.nodeName;
  const scheduled = (name: string) =>
    registry.pods.cache.get("default", name)?.value.status?.conditions?.find((c) => c.type === "PodScheduled");
  const create = (builder: PodBuilder) => registry.pods.create(builder.build());
  return { registry, clock, events, scheduler, nodeOf, scheduled, create, stop: end };
}

test("a pod gets a node, the condition says so, and so does an event", async (t) => {
  const { registry, events, nodeOf, scheduled, create } = await start(t);
  await registry.nodes.create(node("n1").build());
  await create(pod("web"));
  await eventually("web is bound", () => nodeOf("web") === "n1");
  assert.equal(scheduled("web")?.status, "True");
  await eventually("the event is there", () => events.messages("Scheduled").length === 1);
  assert.deepEqual(events.messages("Scheduled"), ["Successfully assigned default/web to n1"]);
});

test("pods that wait in the store are taken up at the start, with what others hold already counted", async (t) => {
  const registry = new MemoryRegistry();
  await registry.nodes.create(node("n1").cpu("2").build());
  await registry.pods.create(pod("old").cpu("1500m").on("n1").build());
  await registry.pods.create(pod("fits").cpu("500m").build());
  await registry.pods.create(pod("large").cpu("501m").build());
  const { nodeOf, scheduled } = await start(t, registry);
  await eventually("fits is bound", () => nodeOf("fits") === "n1");
  await eventually("large is refused", () => scheduled("large")?.reason === "Unschedulable");
  assert.equal(scheduled("large")?.message, "0/1 nodes are available: 1 Insufficient cpu.");
});

test("a pod that fits nowhere says why, once, and per node on request", async (t) => {
  const { registry, events, scheduler, scheduled, create } = await start(t);
  await registry.nodes.create(node("n1").cordoned().build());
  const created = await create(pod("web"));
  await eventually("the refusal is written", () => scheduled("web")?.message !== undefined);
  assert.deepEqual(
    { status: scheduled("web")?.status, reason: scheduled("web")?.reason, message: scheduled("web")?.message },
    { status: "False", reason: "Unschedulable", message: "0/1 nodes are available: 1 node(s) were unschedulable." },
  );
  await registry.nodes.mutate("", "n1", (n) => ({ ...n, metadata: { ...n.metadata, labels: { a: "b" } } }));
  await new Promise(setImmediate);
  assert.deepEqual(events.messages("FailedScheduling"), ["0/1 nodes are available: 1 node(s) were unschedulable."]);
  assert.deepEqual(scheduler.explain(created.metadata?.uid ?? "")?.nodes, [
    { node: "n1", filter: "NodeUnschedulable", reasons: ["node(s) were unschedulable"] },
  ]);
});

test("a refusal that is told already is not told again by the next scheduler", async (t) => {
  const registry = new MemoryRegistry();
  const message = "no nodes available to schedule pods";
  const waiting = pod("web").with((p) => {
    p.status = { phase: "Pending", conditions: [{ type: "PodScheduled", status: "False", reason: "Unschedulable", message }] };
  });
  await registry.pods.create(waiting.build());
  const { events, scheduler } = await start(t, registry);
  const uid = registry.pods.cache.get("default", "web")?.uid ?? "";
  await eventually("the pod was tried", () => scheduler.explain(uid) !== undefined);
  assert.deepEqual(events.records, []);
});

const helpers: { says: string; help: (registry: MemoryRegistry) => Promise<unknown> }[] = [
  { says: "a new node", help: (registry) => registry.nodes.create(node("n2").cpu("2").build()) },
  {
    says: "a node that grows",
    help: (registry) => registry.nodes.mutate("", "n1", (n) => ({ ...n, status: { allocatable: { cpu: "4", pods: "10" } } })),
  },
  { says: "a pod that is deleted", help: (registry) => registry.pods.remove("default", "old", { graceSeconds: 0 }) },
  {
    says: "a pod that ends",
    help: (registry) => registry.pods.mutate("default", "old", (p) => ({ ...p, status: { phase: "Succeeded" } })),
  },
];
for (const { says, help } of helpers) {
  test(`a waiting pod is helped by ${says}`, async (t) => {
    const { registry, nodeOf, scheduled, create } = await start(t);
    await registry.nodes.create(node("n1").cpu("2").build());
    await create(pod("old").cpu("2").on("n1"));
    await create(pod("web").cpu("2"));
    await eventually("web waits", () => scheduled("web")?.status === "False");
    await help(registry);
    await eventually("web is bound", () => nodeOf("web") !== undefined);
    assert.equal(scheduled("web")?.status, "True");
  });
}

test("a waiting pod is helped by a toleration that it is given", async (t) => {
  const { registry, nodeOf, scheduled, create } = await start(t);
  await registry.nodes.create(node("n1").taint("x", "NoSchedule").build());
  await create(pod("web"));
  await eventually("web waits", () => scheduled("web")?.status === "False");
  await registry.pods.mutate("default", "web", (p) => ({ ...p, spec: { ...p.spec, tolerations: [{ key: "x", operator: "Exists" }] } }));
  await eventually("web is bound", () => nodeOf("web") === "n1");
});

test("reasons are told anew after nodes came that help nobody", async (t) => {
  const { registry, clock, scheduled, create } = await start(t);
  await create(pod("web").cpu("8"));
  await eventually("web waits", () => scheduled("web")?.message === "no nodes available to schedule pods");
  await registry.nodes.create(node("n1").build());
  await new Promise(setImmediate);
  assert.equal(scheduled("web")?.message, "no nodes available to schedule pods");
  clock.advance(5_000);
  await eventually("the new reason is told", () => scheduled("web")?.message === "0/1 nodes are available: 1 Insufficient cpu.");
});

test("reasons are told anew after other pods changed in a way that helps nobody", async (t) => {
  const { registry, clock, scheduled, create } = await start(t);
  await registry.nodes.create(node("n1").build());
  await create(pod("old").label("app", "web").on("n1"));
  await create(pod("web").awayFrom({ topologyKey: "kubernetes.io/hostname", labelSelector: { matchLabels: { app: "web" } } }));
  const inTheWay = (name: string) => `0/1 nodes are available: 1 pod anti-affinity with default/${name} over kubernetes.io/hostname.`;
  await eventually("web waits", () => scheduled("web")?.message === inTheWay("old"));
  await create(pod("new").label("app", "web").on("n1"));
  await registry.pods.remove("default", "old", { graceSeconds: 0 });
  await eventually("telling it waits for the clock", () => clock.pending.length === 1);
  clock.advance(5_000);
  await eventually("the new reason is told", () => scheduled("web")?.message === inTheWay("new"));
});

test("capacity is taken at once: pods that come together do not meet on one place", async (t) => {
  const { registry, nodeOf, scheduled, create } = await start(t);
  await registry.nodes.create(node("n1").cpu("1").build());
  await Promise.all([create(pod("a").cpu("1")), create(pod("b").cpu("1"))]);
  await eventually("a is bound", () => nodeOf("a") === "n1");
  await eventually("b is refused", () => scheduled("b")?.status === "False");
  assert.equal(nodeOf("b"), undefined);
});

test("a binding whose outcome nobody knows is tried again on the same node, its capacity kept", async (t) => {
  const { registry, clock, nodeOf, scheduled, create } = await start(t);
  await registry.nodes.create(node("n1").cpu("1").build());
  let failures = 0;
  registry.pods.beforeWrite = (p) => {
    if (p.spec?.nodeName && failures++ === 0) throw new TesseraError("Timeout", "etcd does not answer");
  };
  await create(pod("a").cpu("1"));
  await eventually("the retry waits for the clock", () => failures === 1 && clock.pending.length === 1);
  await create(pod("b").cpu("1"));
  await eventually("b is refused", () => scheduled("b")?.status === "False");
  assert.equal(nodeOf("a"), undefined);
  clock.advance(100);
  await eventually("a is bound", () => nodeOf("a") === "n1");
});

test("stopping does not wait for what would be tried again later", async (t) => {
  const { registry, clock, create, stop } = await start(t);
  await registry.nodes.create(node("n1").build());
  registry.pods.beforeWrite = (p) => {
    if (p.spec?.nodeName) throw new TesseraError("Timeout", "etcd does not answer");
  };
  await create(pod("a"));
  await eventually("the retry waits for the clock", () => clock.pending.length === 1);
  await stop();
  assert.deepEqual(clock.pending, []);
});

test("a binding that is refused gives its capacity back and the pod another turn", async (t) => {
  const { registry, clock, nodeOf, create } = await start(t);
  await registry.nodes.create(node("n1").cpu("1").build());
  registry.pods.beforeWrite = (p) => {
    if (p.spec?.nodeName && p.metadata?.name === "a") throw new TesseraError("Conflict", "somebody was faster");
  };
  await create(pod("a").cpu("1"));
  await eventually("a is delayed", () => clock.pending.length === 1);
  await create(pod("b").cpu("1"));
  await eventually("b is bound", () => nodeOf("b") === "n1");
  registry.pods.beforeWrite = () => {};
  await registry.pods.remove("default", "b", { graceSeconds: 0 });
  clock.advance(100);
  await eventually("a is bound", () => nodeOf("a") === "n1");
});

test("pods of other schedulers, with gates, or on their way out are left alone", async (t) => {
  const { registry, nodeOf, create, events } = await start(t);
  await registry.nodes.create(node("n1").build());
  await create(pod("other").with(({ spec }) => (spec.schedulerName = "mine")));
  await create(pod("gated").with(({ spec }) => (spec.schedulingGates = [{ name: "wait" }])));
  await create(
    pod("leaving").with((p) => (p.metadata = { ...p.metadata, deletionTimestamp: "2030-01-01T00:00:00Z", finalizers: ["x/y"] })),
  );
  await create(pod("web"));
  await eventually("web is bound", () => nodeOf("web") === "n1");
  assert.deepEqual(["other", "gated", "leaving"].map(nodeOf), [undefined, undefined, undefined]);
  await registry.pods.mutate("default", "gated", (p) => ({ ...p, spec: { ...p.spec, schedulingGates: [] } }));
  await eventually("gated is bound once the gate is gone", () => nodeOf("gated") === "n1");
  assert.deepEqual(events.messages("FailedScheduling"), []);
});

test("the higher priority gets the last place", async (t) => {
  const registry = new MemoryRegistry();
  await registry.pods.create(pod("low").cpu("1").build());
  await registry.pods.create(pod("high").cpu("1").priority(1000).build());
  await registry.nodes.create(node("n1").cpu("1").build());
  const { nodeOf, scheduled } = await start(t, registry);
  await eventually("low is refused", () => scheduled("low")?.status === "False");
  await eventually("high is bound", () => nodeOf("high") === "n1");
});

import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { CarriedServiceAccountToken, Pod } from "@tessera/proto";
import { pod } from "../controllers/testing/builders.ts";
import { eventually } from "../controllers/testing/fakes.ts";
import { held } from "./testing/fake-agent.ts";
import { sharedControlPlane } from "./testing/shared-control-plane.ts";

const plane = sharedControlPlane();
const { fresh, create, current } = plane;

describe("pods of a node", () => {
  test("a pod that is bound comes with all that it names, before it", async () => {
    await using nodes = await plane.serve();
    const name = fresh("node");
    const session = await (await nodes.agent(name)).join(name);
    const [config, secret, missing] = [fresh("config"), fresh("secret"), fresh("missing")];
    await plane.registry.configMaps.create({ metadata: { name: config, namespace: "default" }, data: { a: "1" } });
    await plane.registry.secrets.create({ metadata: { name: secret, namespace: "default" }, data: { k: "dg==" }, type: "Opaque" });
    const naming = pod(fresh("web")).with(({ spec }, container) => {
      container.envFrom = [{ configMapRef: { name: config } }];
      container.env = [{ name: "X", valueFrom: { configMapKeyRef: { name: missing, key: "x" } } }];
      spec.volumes = [{ name: "v", projected: { sources: [{ secret: { name: secret } }] } }];
    });
    const created = await create(naming);
    await plane.registry.pods.mutate("default", created.metadata?.name ?? "", (p) => ({ ...p, spec: { ...p.spec, nodeName: name } }));
    await session.received("assignPod");
    const tail = session.messages.slice(session.messages.findIndex((m) => m.$case === "synced") + 1).filter((m) => m.$case !== "peers");
    assert.deepEqual(
      tail.map((m) =>
        m.$case === "referencedObject" ? `${m.value.kind} ${m.value.name} ${m.value.object ? "there" : "absent"}` : m.$case,
      ),
      [`ConfigMap ${config} there`, `ConfigMap ${missing} absent`, `Secret ${secret} there`, "assignPod"],
    );
    assert.equal(session.assigned()[0]?.metadata?.uid, created.metadata?.uid);
    assert.equal(session.assigned()[0]?.metadata?.resourceVersion, current(created)?.metadata?.resourceVersion);
  });

  test("a token comes with its pod, to its node alone, and anew when it is asked for", async () => {
    await using nodes = await plane.serve();
    const [a, b, account] = [fresh("a"), fresh("b"), fresh("account")];
    const [session, other] = [await (await nodes.agent(a)).join(a), await (await nodes.agent(b)).join(b)];
    await plane.registry.serviceAccounts.create({ metadata: { name: account, namespace: "default" } });
    const created = await create(
      pod(fresh("web"))
        .on(a)
        .with(({ spec }) => {
          spec.serviceAccountName = account;
          spec.automountServiceAccountToken = true;
        }),
    );
    await session.received("assignPod");
    const tokens = (of = session) => of.all("referencedObject").filter(({ kind }) => kind === "ServiceAccountToken");
    const carried = (index: number) => JSON.parse(tokens()[index]?.object?.toString() ?? "null") as CarriedServiceAccountToken | null;
    const name = `${created.metadata?.uid}/3607/`;
    assert.deepEqual(
      tokens().map((each) => each.name),
      [name],
    );
    assert.equal(carried(0)?.lifetimeSeconds, 3607);
    const claims = JSON.parse(Buffer.from(carried(0)?.token.split(".")[1] ?? "", "base64url").toString());
    assert.equal(claims.sub, `system:serviceaccount:default:${account}`);
    assert.deepEqual(claims["kubernetes.io"].pod, { name: created.metadata?.name, uid: created.metadata?.uid });
    assert.equal(claims["kubernetes.io"].node.name, a);

    session.send({ $case: "refreshToken", value: { namespace: "default", name } });
    await eventually("there is another one", () => tokens().length === 2);
    assert.notEqual(carried(1)?.token, carried(0)?.token);
    // Neither another node nor another name gets any.
    other.send({ $case: "refreshToken", value: { namespace: "default", name } });
    session.send({ $case: "refreshToken", value: { namespace: "default", name: `${created.metadata?.uid}/360000/` } });
    session.send({ $case: "refreshToken", value: { namespace: "default", name: "nonsense" } });
    await plane.registry.serviceAccounts.remove("default", account);
    await plane.registry.serviceAccounts.create({ metadata: { name: account, namespace: "default" } });
    await eventually("an account of the same name has tokens of its own", () => tokens().length === 3);
    assert.notEqual(carried(2)?.accountUid, carried(0)?.accountUid);
    const marker = await create(pod(fresh("marker")).on(b));
    await other.received("assignPod", ({ pod: bytes }) => JSON.parse(bytes.toString()).metadata.uid === marker.metadata?.uid);
    assert.deepEqual(tokens(other), []);
  });

  test("changes of a Secret reach only nodes with a pod that names it, and also its coming and its end", async () => {
    await using nodes = await plane.serve();
    const [a, b] = [fresh("a"), fresh("b")];
    const with_ = await (await nodes.agent(a)).join(a);
    const without = await (await nodes.agent(b)).join(b);
    const secret = fresh("secret");
    const naming = await create(
      pod(fresh("web"))
        .on(a)
        .with(({ spec }) => (spec.imagePullSecrets = [{ name: secret }])),
    );
    await create(pod(fresh("plain")).on(b));
    await with_.received("assignPod");
    await without.received("assignPod");
    const values = () => with_.all("referencedObject").map(({ object }) => object && JSON.parse(object.toString()).data.k);
    await plane.registry.secrets.create({ metadata: { name: secret, namespace: "default" }, data: { k: "MQ==" }, type: "Opaque" });
    await eventually("it came", () => values().at(-1) === "MQ==");
    await plane.registry.secrets.mutate("default", secret, (s) => ({ ...s, data: { k: "Mg==" } }));
    await eventually("it changed", () => values().at(-1) === "Mg==");
    await plane.registry.secrets.remove("default", secret);
    await eventually("it went", () => values().length === 4 && values().at(-1) === undefined);
    await plane.registry.pods.remove("default", naming.metadata?.name ?? "", { graceSeconds: 0 });
    await with_.received("releasePod");
    await plane.registry.secrets.create({ metadata: { name: secret, namespace: "default" }, data: { k: "Mw==" }, type: "Opaque" });
    const marker = await create(pod(fresh("marker")).on(a));
    await with_.received("assignPod", ({ pod: bytes }) => JSON.parse(bytes.toString()).metadata.uid === marker.metadata?.uid);
    assert.equal(values().length, 4, "nobody names it any more");
    assert.deepEqual(without.all("referencedObject"), []);
  });

  test("a condition that the pod's readiness waits for is told, no other", async () => {
    await using nodes = await plane.serve();
    const name = fresh("node");
    const session = await (await nodes.agent(name)).join(name);
    const object = pod(fresh("web")).on(name).build();
    const readinessGates = [{ conditionType: "example.com/go" }];
    const web = await plane.registry.pods.create({ ...object, spec: { ...object.spec, readinessGates } });
    await session.received("assignPod");
    const set = async (type: string, status: string) => {
      const conditions = [{ type, status }];
      await plane.registry.pods.mutate("default", web.metadata?.name ?? "", (p) => ({ ...p, status: { ...p.status, conditions } }));
    };
    await set("example.com/other", "True");
    await set("example.com/go", "True");
    const hasGone = ({ pod: bytes }: { pod: Uint8Array }) => {
      const { conditions = [] } = (JSON.parse(Buffer.from(bytes).toString()) as Pod).status ?? {};
      return conditions.some(({ type }) => type === "example.com/go");
    };
    await session.received("assignPod", hasGone);
    assert.equal(session.all("assignPod").length, 2);
  });

  test("deletion is told, the agent's word that it is gone removes the object", async () => {
    await using nodes = await plane.serve();
    const name = fresh("node");
    const session = await (await nodes.agent(name)).join(name);
    const web = await create(pod(fresh("web")).on(name));
    await session.received("assignPod");
    await plane.registry.pods.remove("default", web.metadata?.name ?? "");
    await session.received("assignPod", ({ pod: bytes }) => JSON.parse(bytes.toString()).metadata.deletionTimestamp !== undefined);
    session.podGone(web);
    assert.deepEqual(await session.received("releasePod"), { uid: web.metadata?.uid });
    assert.equal(current(web), undefined);
  });

  test("an agent cannot remove a pod that nobody has deleted", async () => {
    await using nodes = await plane.serve();
    const name = fresh("node");
    const session = await (await nodes.agent(name)).join(name);
    const web = await create(pod(fresh("web")).on(name));
    await session.received("assignPod");
    session.podGone(web);
    session.podStatus(web, { phase: "Running" });
    await eventually("the status after it is written", () => current(web)?.status?.phase === "Running");
    assert.ok(current(web));
  });

  test("a session that resumes hears only of differences", async () => {
    await using nodes = await plane.serve();
    const name = fresh("node");
    const agent = await nodes.agent(name);
    const first = await agent.join(name);
    const [same, changed, deleted] = [
      await create(pod(fresh("same")).on(name)),
      await create(pod(fresh("changed")).on(name)),
      await create(pod(fresh("deleted")).on(name)),
    ];
    await eventually("all are assigned", () => first.assigned().length === 3);
    const holds = first.assigned();
    first.podStatus(same, { phase: "Running" });
    await eventually("a status is written", () => current(same)?.status?.phase === "Running");
    assert.equal(first.assigned().length, 3, "a status is no news for its reporter");
    first.cut();
    await eventually("the session is over", () => nodes.server.connected.length === 0);
    await plane.registry.pods.mutate("default", changed.metadata?.name ?? "", (p) => ({
      ...p,
      metadata: { ...p.metadata, annotations: { a: "b" } },
    }));
    await plane.registry.pods.remove("default", deleted.metadata?.name ?? "", { graceSeconds: 0 });
    const added = await create(pod(fresh("added")).on(name));
    const second = await agent.join(name, { held: holds.map(held) });
    assert.deepEqual(new Set(second.assigned().map((p) => p.metadata?.name)), new Set([changed.metadata?.name, added.metadata?.name]));
    const { podUids } = await second.received("welcome");
    assert.deepEqual(new Set(podUids), new Set([same, changed, added].map((p) => p.metadata?.uid)));
    assert.deepEqual(second.all("releasePod"), [], "Welcome says what is to go");
  });

  test("a slow agent gets the newest state of each pod, not every state", async () => {
    await using nodes = await plane.serve();
    const name = fresh("node");
    const session = await (await nodes.agent(name)).join(name);
    const web = await create(pod(fresh("web")).on(name));
    await session.received("assignPod");
    session.stall();
    // Large enough to fill what the connection buffers, often enough to fill what streams buffer.
    const filler = "x".repeat(70_000);
    for (let i = 1; i <= 80; i++) {
      const written = await plane.registry.pods.mutate("default", web.metadata?.name ?? "", (p) => ({
        ...p,
        metadata: { ...p.metadata, annotations: { i: String(i), filler } },
      }));
      await plane.registry.pods.cache.waitFor(Number(written.metadata?.resourceVersion));
    }
    session.unstall();
    await eventually("the newest comes", () => session.assigned().at(-1)?.metadata?.annotations?.["i"] === "80");
    assert.ok(session.assigned().length < 60, `${session.assigned().length} messages for 80 changes`);
  });
});

describe("what an agent reports of pods", () => {
  test("its status is written, what belongs to the control plane stays", async () => {
    await using nodes = await plane.serve();
    const name = fresh("node");
    const session = await (await nodes.agent(name)).join(name);
    const web = await create(pod(fresh("web")).on(name));
    const scheduled = { type: "PodScheduled", status: "True" };
    const gate = { type: "example.com/gate", status: "True" };
    await plane.registry.pods.mutate("default", web.metadata?.name ?? "", (p) => ({
      ...p,
      status: { ...p.status, conditions: [scheduled, gate, { type: "Ready", status: "False" }] },
    }));
    await session.received("assignPod");
    session.podStatus(web, {
      phase: "Running",
      podIP: "10.64.0.9",
      qosClass: "Guaranteed",
      conditions: [
        { type: "Ready", status: "True" },
        { type: "PodScheduled", status: "False" },
      ],
    });
    await eventually("the status is written", () => current(web)?.status?.phase === "Running");
    assert.equal(current(web)?.status?.podIP, "10.64.0.9");
    assert.equal(current(web)?.status?.qosClass, "BestEffort");
    assert.deepEqual(current(web)?.status?.conditions, [{ type: "Ready", status: "True" }, scheduled, gate]);
  });

  test("of a pod that is not bound to its node, nothing is believed", async () => {
    await using nodes = await plane.serve();
    const [a, b] = [fresh("a"), fresh("b")];
    const owner = await (await nodes.agent(a)).join(a);
    const foreign = await (await nodes.agent(b)).join(b);
    const web = await create(pod(fresh("web")).on(a));
    const own = await create(pod(fresh("own")).on(b));
    await owner.received("assignPod");
    await plane.registry.pods.remove("default", web.metadata?.name ?? "");
    const event = {
      kind: "Pod",
      namespace: "default",
      name: web.metadata?.name ?? "",
      uid: web.metadata?.uid ?? "",
      type: "Normal",
      fieldPath: "",
    };
    foreign.podStatus(web, { phase: "Failed" });
    foreign.podGone(web);
    foreign.send({ $case: "event", value: { ...event, reason: "Forged", message: "", time: "" } });
    // By its name and namespace another pod, by its uid its own.
    foreign.send({ $case: "podGone", value: { uid: own.metadata?.uid ?? "", namespace: "default", name: web.metadata?.name ?? "" } });
    foreign.podStatus(own, { phase: "Running" });
    await eventually("what is its own is written", () => current(own)?.status?.phase === "Running");
    assert.equal(current(web)?.status?.phase, "Pending");
    assert.deepEqual(nodes.events.messages("Forged"), []);
  });

  test("a status that says nothing new is not written, one that comes after the end is not believed", async () => {
    await using nodes = await plane.serve();
    const name = fresh("node");
    const session = await (await nodes.agent(name)).join(name);
    const web = await create(pod(fresh("web")).on(name));
    await session.received("assignPod");
    session.podStatus(web, { phase: "Succeeded" });
    await eventually("it ended", () => current(web)?.status?.phase === "Succeeded");
    const revision = current(web)?.metadata?.resourceVersion;
    session.podStatus(web, { phase: "Succeeded" });
    session.podStatus(web, { phase: "Running" });
    const other = await create(pod(fresh("other")).on(name));
    await session.received("assignPod", ({ pod: bytes }) => JSON.parse(bytes.toString()).metadata.uid === other.metadata?.uid);
    session.podStatus(other, { phase: "Running" });
    await eventually("a later report is written", () => current(other)?.status?.phase === "Running");
    assert.equal(current(web)?.metadata?.resourceVersion, revision);
  });

  test("its events are recorded as its own", async () => {
    await using nodes = await plane.serve();
    const name = fresh("node");
    const session = await (await nodes.agent(name)).join(name);
    const web = await create(pod(fresh("web")).on(name));
    await session.received("assignPod");
    const { uid = "", name: podName = "" } = web.metadata ?? {};
    const common = { kind: "Pod", namespace: "default", name: podName, uid, type: "Normal", message: "Started container main" };
    session.send({
      $case: "event",
      value: { ...common, reason: "Started", time: "2030-01-01T00:00:00.250Z", fieldPath: "spec.containers{main}" },
    });
    await eventually("the event is recorded", () => nodes.events.messages("Started").length === 1);
    assert.deepEqual(
      nodes.events.records.find((event) => event.reason === "Started"),
      {
        involved: { kind: "Pod", apiVersion: "v1", namespace: "default", name: podName, uid, fieldPath: "spec.containers{main}" },
        type: "Normal",
        reason: "Started",
        message: "Started container main",
        source: { component: "tessera-agent", host: name },
        timeMs: Date.parse("2030-01-01T00:00:00.250Z"),
      },
    );
  });
});

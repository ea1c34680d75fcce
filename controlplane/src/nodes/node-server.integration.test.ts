import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { after, before, beforeEach, describe, test } from "node:test";
import { connect } from "node:tls";
import { status } from "@grpc/grpc-js";
import type { CarriedServiceAccountToken, Node, Pod } from "@tessera/proto";
import { CertificateAuthority } from "../auth/certificate-authority.ts";
import { type PodBuilder, pod } from "../controllers/testing/builders.ts";
import { eventually, ManualClock } from "../controllers/testing/fakes.ts";
import { newSigningKeys, signingRequest } from "../join/testing/tokens.ts";
import { aNodeStatus, held } from "./testing/fake-agent.ts";
import { TestControlPlane } from "./testing/test-control-plane.ts";

let plane: TestControlPlane;
before(async () => {
  plane = await TestControlPlane.start();
});
after(() => plane[Symbol.asyncDispose]());
beforeEach(() => plane.clear());

let counter = 0;
/** A name that no other test has. */
const fresh = (prefix: string) => `${prefix}-${++counter}`;

const create = (builder: PodBuilder) => plane.registry.pods.create(builder.build());
const current = (p: Pod) => plane.registry.pods.cache.get("default", p.metadata?.name ?? "")?.value;
const nodeOf = (name: string) => plane.registry.nodes.cache.get("", name)?.value;
const readyOf = (name: string) => nodeOf(name)?.status?.conditions?.find((c) => c.type === "Ready");

describe("who may have a session", () => {
  test("an agent without a certificate of the cluster's CA gets no connection", async () => {
    await using nodes = await plane.serve();
    const stranger = await CertificateAuthority.create("stranger", Date.now);
    const identity = await stranger.issue({ commonName: "system:node:n", organizations: ["system:nodes"], usages: ["client"] });
    const session = (await nodes.agent("n", identity)).session();
    session.hello("n");
    assert.equal((await session.end()).code, status.UNAVAILABLE);
  });

  test("a certificate of another node, or of a user, does not open a session", async () => {
    await using nodes = await plane.serve();
    const name = fresh("node");
    const cases = [
      { commonName: "system:node:other", details: `the certificate is that of node "other", Hello says "${name}"` },
      { commonName: "admin", details: /the certificate of admin is not a node's/ },
      { commonName: `system:node:${name}`, organization: "system:masters", details: /is not a node's/ },
    ];
    for (const { commonName, organization, details } of cases) {
      const session = (await nodes.agent(name, await nodes.certificate(commonName, organization))).session();
      session.hello(name);
      const end = await session.end();
      assert.equal(end.code, status.PERMISSION_DENIED);
      if (typeof details === "string") assert.equal(end.details, details);
      else assert.match(end.details, details);
    }
    assert.equal(nodeOf(name), undefined);
  });

  test("another version of the protocol is refused", async () => {
    await using nodes = await plane.serve();
    const name = fresh("node");
    const session = (await nodes.agent(name)).session();
    session.hello(name, { protocolVersion: 99 });
    const end = await session.end();
    assert.equal(end.code, status.FAILED_PRECONDITION);
    assert.match(end.details, /speaks version 1 of the node protocol, the agent version 99/);
  });

  test("the first message must be Hello, and there is one", async () => {
    await using nodes = await plane.serve();
    const name = fresh("node");
    const agent = await nodes.agent(name);
    const silent = agent.session();
    silent.nodeStatus(aNodeStatus("10.0.0.1"));
    assert.deepEqual(await silent.end(), { code: status.INVALID_ARGUMENT, details: "the first message must be Hello" });
    const twice = await agent.join(name);
    twice.hello(name);
    assert.equal((await twice.end()).code, status.INVALID_ARGUMENT);
  });

  test("a second session of a node replaces the first", async () => {
    await using nodes = await plane.serve();
    const name = fresh("node");
    const first = await (await nodes.agent(name)).join(name);
    const second = await (await nodes.agent(name)).join(name);
    assert.deepEqual(await first.end(), { code: status.ABORTED, details: "replaced by a newer session of the same node" });
    const web = await create(pod(fresh("web")).on(name));
    await second.received("assignPod");
    assert.deepEqual(
      second.assigned().map((p) => p.metadata?.uid),
      [web.metadata?.uid],
    );
    assert.deepEqual(first.assigned(), []);
    assert.deepEqual(nodes.server.connected, [name]);
  });
});

test("an agent hears of its own Node before any pod, and of changes before the pods that came of them", async () => {
  await using nodes = await plane.serve();
  const name = fresh("node");
  const first = await create(pod(fresh("early")).on(name));
  const session = await (await nodes.agent(name)).join(name, { labels: { "kubernetes.io/os": "linux" } });
  const order = () => session.messages.flatMap(({ $case }) => ($case === "ownNode" || $case === "assignPod" ? [$case] : []));
  const told = () => session.all("ownNode").map(({ node }) => JSON.parse(node.toString()) as Node);
  assert.deepEqual(order(), ["ownNode", "assignPod"]);
  assert.equal(session.assigned()[0]?.metadata?.uid, first.metadata?.uid);
  assert.deepEqual(told()[0]?.metadata?.labels, { "kubernetes.io/os": "linux" });
  await plane.registry.nodes.mutate("", name, (node) => ({
    ...node,
    metadata: { ...node.metadata, labels: { disk: "ssd" } },
    spec: { ...node.spec, taints: [{ key: "old", effect: "NoExecute" }] },
  }));
  await create(pod(fresh("late")).on(name));
  await session.received("assignPod", ({ pod: bytes }) => !bytes.toString().includes(first.metadata?.uid ?? ""));
  assert.deepEqual(order(), ["ownNode", "assignPod", "ownNode", "assignPod"]);
  assert.deepEqual(told()[1]?.metadata?.labels, { disk: "ssd" });
  assert.deepEqual(told()[1]?.spec?.taints, [{ key: "old", effect: "NoExecute" }]);
  // What it reports itself is no news to it.
  session.nodeStatus({ ...aNodeStatus("10.0.0.1"), nodeInfo: { kernelVersion: "7" } });
  await eventually("the report is written", () => nodeOf(name)?.status?.nodeInfo?.kernelVersion === "7");
  await create(pod(fresh("later")).on(name));
  await eventually("the third pod comes", () => session.assigned().length === 3);
  assert.equal(told().length, 2);
});

test("a node gets another certificate in its own name, and a new server certificate disturbs nobody", async () => {
  await using nodes = await plane.serve();
  const name = fresh("node");
  const agent = await nodes.agent(name);
  const session = await agent.join(name);
  const keys = await newSigningKeys();
  const { certificate } = await agent.renewCertificate(await signingRequest(keys));
  assert.equal(new X509Certificate(certificate).subject, `CN=system:node:${name}\nO=system:nodes`);
  await assert.rejects(agent.renewCertificate("none"), { code: status.INVALID_ARGUMENT, details: /cannot be read/ });
  const user = await nodes.agent(name, await nodes.certificate("admin", "system:masters"));
  await assert.rejects(user.renewCertificate(await signingRequest(keys)), { code: status.PERMISSION_DENIED });

  const fingerprint = async () => (await shownCertificate(nodes.server.addresses[0] ?? "")).fingerprint256;
  const before = await fingerprint();
  const next = await plane.authority.issue({ commonName: "nodes", usages: ["server"], names: ["127.0.0.1"] });
  nodes.server.renewServerCertificate({ ca: plane.authority.pair.certPem, cert: next.certPem, key: next.keyPem });
  const after = await fingerprint();
  assert.notEqual(after, before);
  assert.equal(after, new X509Certificate(next.certPem).fingerprint256);
  // The first session is where it was, and another node comes by the new certificate.
  const other = fresh("node");
  await (await nodes.agent(other)).join(other);
  assert.equal(session.ended, undefined);
  const stranger = await CertificateAuthority.create("stranger", Date.now);
  const foreign = await stranger.issue({ commonName: "system:node:n", organizations: ["system:nodes"], usages: ["client"] });
  const refused = (await nodes.agent("n", foreign)).session();
  refused.hello("n");
  assert.equal((await refused.end()).code, status.UNAVAILABLE);
});

async function shownCertificate(address: string): Promise<X509Certificate> {
  const [host, port] = address.split(":");
  const socket = connect({ host, port: Number(port), rejectUnauthorized: false, ALPNProtocols: ["h2"] });
  await once(socket, "secureConnect");
  const certificate = socket.getPeerX509Certificate();
  socket.destroy();
  assert.ok(certificate !== undefined);
  return certificate;
}

test("what an agent reports of its use is handed on as that of the node in its certificate", async () => {
  await using nodes = await plane.serve();
  const name = fresh("node");
  const session = await (await nodes.agent(name)).join(name);
  const usage = { timeNs: 2n ** 63n, cpuNs: 5n, memoryWorkingSetBytes: 7n };
  const report = { intervalMs: 10_000, node: usage, pods: [{ uid: "u", containers: [{ name: "web", attempt: 2, usage }] }] };
  session.send({ $case: "usage", value: report });
  await eventually("the report is handed on", () => nodes.reports.length === 1);
  assert.deepEqual(nodes.reports, [{ node: name, report }]);
});

describe("the Node object", () => {
  test("Hello makes it: labels, status, Ready, addresses for pods; it is ready, and events say so", async () => {
    await using nodes = await plane.serve();
    const name = fresh("node");
    const labels = {
      "kubernetes.io/hostname": name,
      "kubernetes.io/os": "linux",
      disk: "ssd",
      "node-role.kubernetes.io/control-plane": "",
    };
    const session = await (await nodes.agent(name)).join(name, { labels, status: aNodeStatus("10.9.0.1") });
    const welcome = await session.received("welcome");
    await eventually("the Node is there", () => nodeOf(name) !== undefined);
    const node = nodeOf(name);
    assert.deepEqual(node?.metadata?.labels, { "kubernetes.io/hostname": name, "kubernetes.io/os": "linux", disk: "ssd" });
    assert.deepEqual(node?.spec, { podCIDR: welcome.podCidr, podCIDRs: [welcome.podCidr] });
    assert.equal(welcome.clusterCidr, "10.64.0.0/16");
    assert.match(welcome.podCidr, /^10\.64\.\d+\.0\/24$/);
    assert.deepEqual(node?.status?.addresses, [{ type: "InternalIP", address: "10.9.0.1" }]);
    assert.equal(readyOf(name)?.status, "True");
    assert.deepEqual(nodes.events.messages("NodeReady"), [`Node ${name} status is now: NodeReady`]);
    assert.deepEqual(nodes.events.messages("RegisteredNode"), [`Node ${name} event: Registered Node ${name}`]);
  });

  test("Hello keeps what people wrote into it, and its addresses for ever", async () => {
    await using nodes = await plane.serve();
    const name = fresh("node");
    const agent = await nodes.agent(name);
    const first = await (await agent.join(name, { labels: { a: "1" } })).received("welcome");
    await plane.registry.nodes.mutate("", name, (node) => ({
      ...node,
      metadata: { ...node.metadata, labels: { ...node.metadata?.labels, mine: "yes" } },
      spec: { ...node.spec, unschedulable: true, taints: [{ key: "x", effect: "NoSchedule" }] },
    }));
    const second = await (await agent.join(name, { labels: { a: "2" } })).received("welcome");
    assert.equal(second.podCidr, first.podCidr);
    await eventually("the label changed", () => nodeOf(name)?.metadata?.labels?.["a"] === "2");
    assert.equal(nodeOf(name)?.metadata?.labels?.["mine"], "yes");
    assert.equal(nodeOf(name)?.spec?.unschedulable, true);
    assert.deepEqual(nodeOf(name)?.spec?.taints, [{ key: "x", effect: "NoSchedule" }]);
  });

  test("nodes that say Hello together get different addresses, from two control planes too", async () => {
    await using one = await plane.serve({ settings: { clusterCidr: "10.70.0.0/20" } });
    await using two = await plane.serve({ settings: { clusterCidr: "10.70.0.0/20" } });
    const welcomes = await Promise.all(
      Array.from({ length: 16 }, async (_, i) => {
        const name = fresh("many");
        const agent = await (i % 2 ? one : two).agent(name);
        return (await agent.join(name)).received("welcome");
      }),
    );
    const blocks = welcomes.map((welcome) => welcome.podCidr);
    assert.equal(new Set(blocks).size, 16);
    const late = fresh("late");
    const session = (await one.agent(late)).session();
    session.hello(late);
    assert.deepEqual(await session.end(), {
      code: status.UNAVAILABLE,
      details: `no pod addresses are left for node "${late}": all 16 blocks of /24 in 10.70.0.0/20 are taken`,
    });
    assert.equal(nodeOf(late), undefined, "a node without addresses is no node");
  });

  test("a Node that is deleted is made anew by its agent, with the same addresses", async () => {
    await using nodes = await plane.serve();
    const name = fresh("node");
    const agent = await nodes.agent(name);
    const session = await agent.join(name);
    const before = await session.received("welcome");
    const uid = nodeOf(name)?.metadata?.uid;
    await plane.registry.nodes.remove("", name);
    assert.deepEqual(await session.end(), { code: status.ABORTED, details: `Node "${name}" was deleted` });
    const after = await (await agent.join(name)).received("welcome");
    assert.equal(after.podCidr, before.podCidr);
    await eventually("there is a new Node", () => nodeOf(name) !== undefined && nodeOf(name)?.metadata?.uid !== uid);
  });

  test("a status that is reported later is written, what is faulty in it is left out", async () => {
    await using nodes = await plane.serve();
    const name = fresh("node");
    const session = await (await nodes.agent(name)).join(name);
    const conditions = [{ type: "Ready", status: "False", reason: "NetworkNotReady", message: "no bridge" }];
    session.nodeStatus({ ...aNodeStatus("10.0.0.1"), conditions, nodeInfo: 7 } as never);
    await eventually("the Node is not ready", () => readyOf(name)?.status === "False");
    assert.equal(readyOf(name)?.reason, "NetworkNotReady");
    assert.deepEqual(
      nodeOf(name)?.spec?.taints?.map((t) => `${t.key}:${t.effect}`),
      ["node.kubernetes.io/not-ready:NoSchedule", "node.kubernetes.io/not-ready:NoExecute"],
    );
    session.nodeStatus(aNodeStatus("10.0.0.1"));
    await eventually("the Node is ready again", () => readyOf(name)?.status === "True");
    assert.equal(nodeOf(name)?.spec?.taints, undefined);
  });

  test("other nodes hear of its address and of its end", async () => {
    await using nodes = await plane.serve();
    const [a, b] = [fresh("a"), fresh("b")];
    const watcher = await (await nodes.agent(a)).join(a);
    const other = await (await nodes.agent(b)).join(b, { status: aNodeStatus("10.9.9.9") });
    const { podCidr } = await other.received("welcome");
    const has = (address: string) => (peers: { peers: { nodeName: string; nodeAddress: string; podCidr: string }[] }) =>
      peers.peers.some((peer) => peer.nodeName === b && peer.nodeAddress === address && peer.podCidr === podCidr);
    await watcher.received("peers", has("10.9.9.9"));
    other.nodeStatus(aNodeStatus("10.8.8.8"));
    await watcher.received("peers", has("10.8.8.8"));
    assert.ok(
      watcher.all("peers").every(({ peers }) => peers.every((peer) => peer.nodeName !== a)),
      "a node is not its own peer",
    );
    await plane.registry.nodes.remove("", b);
    await eventually(
      "the last list is without it",
      () =>
        watcher
          .all("peers")
          .at(-1)
          ?.peers.every((peer) => peer.nodeName !== b) ?? false,
    );
  });

  test("a Lease is kept for it while it has a session, and goes with it", async () => {
    const clock = new ManualClock(Date.now());
    await using nodes = await plane.serve({ clock });
    const name = fresh("node");
    const lease = () => plane.registry.leases.cache.get("kube-node-lease", name)?.value;
    const session = await (await nodes.agent(name)).join(name);
    await eventually("the lease is there", () => lease() !== undefined);
    assert.equal(lease()?.spec?.holderIdentity, name);
    assert.equal(lease()?.metadata?.ownerReferences?.[0]?.uid, nodeOf(name)?.metadata?.uid);
    const first = lease()?.spec?.renewTime;
    await eventually("the renewal is planned", () => clock.pending.includes(10_000));
    clock.advance(10_000);
    await eventually("the lease is renewed", () => lease()?.spec?.renewTime !== first);
    session.cut();
    await eventually("the session is over", () => nodes.server.connected.length === 0);
    const last = lease()?.spec?.renewTime;
    clock.advance(9_000);
    assert.equal(lease()?.spec?.renewTime, last);
    await plane.registry.nodes.remove("", name);
    await eventually("the lease goes", () => lease() === undefined);
  });
});

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

describe("a node that is not heard of", () => {
  test("is lost after the grace, and back with its session", async () => {
    const clock = new ManualClock(Date.now());
    await using nodes = await plane.serve({ clock, settings: { sessionGraceMs: 10_000 } });
    const name = fresh("node");
    const agent = await nodes.agent(name);
    const session = await agent.join(name);
    const web = await create(pod(fresh("web")).on(name));
    await session.received("assignPod");
    const running = { phase: "Running", conditions: [{ type: "Ready", status: "True" }] };
    session.podStatus(web, running);
    await eventually("the pod is ready", () => current(web)?.status?.phase === "Running");
    session.cut();
    await eventually("the grace runs", () => nodes.server.connected.length === 0 && clock.pending.includes(10_000));
    clock.advance(9_999);
    assert.equal(readyOf(name)?.status, "True");
    clock.advance(1);
    await eventually("the node is lost", () => readyOf(name)?.status === "Unknown");
    assert.equal(readyOf(name)?.reason, "NodeStatusUnknown");
    assert.deepEqual(
      nodeOf(name)?.spec?.taints?.map(({ key, effect, timeAdded }) => [key, effect, timeAdded !== undefined]),
      [
        ["node.kubernetes.io/unreachable", "NoSchedule", false],
        ["node.kubernetes.io/unreachable", "NoExecute", true],
      ],
    );
    await eventually("its pod is not ready", () => current(web)?.status?.conditions?.find((c) => c.type === "Ready")?.status === "False");
    await eventually("events say so", () => nodes.events.messages("NodeNotReady").length === 2);
    const back = await agent.join(name, { held: [held(web)] });
    assert.equal(readyOf(name)?.status, "True");
    assert.equal(nodeOf(name)?.spec?.taints, undefined);
    back.podStatus(web, running);
    await eventually("its pod is ready again", () => current(web)?.status?.conditions?.find((c) => c.type === "Ready")?.status === "True");
  });

  test("is not lost when it comes back within the grace", async () => {
    const clock = new ManualClock(Date.now());
    await using nodes = await plane.serve({ clock });
    const name = fresh("node");
    const agent = await nodes.agent(name);
    (await agent.join(name)).cut();
    await eventually("the grace runs", () => nodes.server.connected.length === 0 && clock.pending.includes(10_000));
    clock.advance(5_000);
    await agent.join(name);
    clock.advance(60_000);
    await new Promise(setImmediate);
    assert.equal(readyOf(name)?.status, "True");
    assert.deepEqual(nodes.events.messages("NodeNotReady"), []);
  });

  test("is lost also when its agent went while no control plane ran", async () => {
    const name = fresh("node");
    {
      await using nodes = await plane.serve();
      await (await nodes.agent(name)).join(name);
    }
    assert.equal(readyOf(name)?.status, "True");
    const clock = new ManualClock(Date.now());
    await using _nodes = await plane.serve({ clock });
    await eventually("the grace runs", () => clock.pending.includes(10_000));
    clock.advance(10_000);
    await eventually("the node is lost", () => readyOf(name)?.status === "Unknown");
  });
});

describe("streams", () => {
  const request = {
    $case: "log" as const,
    value: { podUid: "u", container: "c", follow: false, previous: false, timestamps: false, sinceTime: "" },
  };
  const never = new AbortController().signal;

  test("frames go both ways and end with the agent's exit frame", async () => {
    await using nodes = await plane.serve();
    const name = fresh("node");
    const agent = await nodes.agent(name);
    const session = await agent.join(name);
    const opening = nodes.server.open(name, request, never);
    const asked = await session.received("openStream");
    assert.equal(asked.request?.$case, "log");
    const dialled = agent.stream(asked.streamId);
    const stream = await opening;
    await stream.send({ frame: { $case: "stdin", value: Buffer.from("in") } });
    dialled.send({ $case: "stdout", value: Buffer.from("out") });
    dialled.send({ $case: "exit", value: { code: 3, reason: "", message: "" } });
    const seen: unknown[] = [];
    for await (const { frame } of stream.frames) seen.push(frame?.$case === "stdout" ? frame.value.toString() : frame);
    assert.deepEqual(seen, ["out", { $case: "exit", value: { code: 3, reason: "", message: "" } }]);
    await eventually("the agent got its frame", () => dialled.frames.length === 1);
    stream.close();
    await eventually("the call ended", () => dialled.call.readableEnded);
  });

  test("the id of another node's stream opens nothing, and the node that was asked still can", async () => {
    await using nodes = await plane.serve();
    const [a, b] = [fresh("a"), fresh("b")];
    const asked = await nodes.agent(a);
    const thief = await nodes.agent(b);
    const session = await asked.join(a);
    await thief.join(b);
    const opening = nodes.server.open(a, request, never);
    const { streamId } = await session.received("openStream");
    const stolen = thief.stream(streamId);
    await eventually("the thief is refused", () => stolen.error?.code === status.PERMISSION_DENIED);
    const invented = asked.stream("0".repeat(32));
    await eventually("an invented id is refused", () => invented.error?.code === status.NOT_FOUND);
    asked.stream(streamId).send({ $case: "exit", value: { reason: "", message: "" } });
    (await opening).close();
  });

  test("the agent's refusal, its silence, its absence and its loss are told apart", async () => {
    const clock = new ManualClock(Date.now());
    await using nodes = await plane.serve({ clock, settings: { streamTimeoutMs: 5_000 } });
    const name = fresh("node");
    const open = () => nodes.server.open(name, request, never);
    await assert.rejects(open(), { reason: "ServiceUnavailable", message: `node "${name}" is not connected: its agent has no session` });

    const agent = await nodes.agent(name);
    const session = await agent.join(name);
    const refused = open();
    const { streamId } = await session.received("openStream");
    session.send({ $case: "streamRefused", value: { streamId, reason: "NotFound", message: "no such container" } });
    await assert.rejects(refused, { reason: "NotFound", message: "no such container" });

    const unanswered = open();
    await eventually("the timer runs", () => clock.pending.includes(5_000));
    clock.advance(5_000);
    await assert.rejects(unanswered, { reason: "Timeout" });

    const cut = open();
    session.cut();
    await assert.rejects(cut, { reason: "ServiceUnavailable", message: `the connection to node "${name}" is lost` });
  });

  test("a connection that is lost in the middle is no end", async () => {
    await using nodes = await plane.serve();
    const name = fresh("node");
    const agent = await nodes.agent(name);
    const session = await agent.join(name);
    const opening = nodes.server.open(name, request, never);
    const dialled = agent.stream((await session.received("openStream")).streamId);
    const stream = await opening;
    dialled.send({ $case: "stdout", value: Buffer.from("half") });
    const seen: string[] = [];
    await assert.rejects(
      async () => {
        for await (const { frame } of stream.frames) {
          seen.push(frame?.$case ?? "");
          dialled.call.cancel();
        }
      },
      { reason: "ServiceUnavailable", message: `the connection to node "${name}" is lost` },
    );
    assert.deepEqual(seen, ["stdout"]);
    await assert.rejects(stream.send({ frame: { $case: "stdin", value: Buffer.from("x") } }), { reason: "ServiceUnavailable" });
  });

  test("who no longer waits is not waited for", async () => {
    await using nodes = await plane.serve();
    const name = fresh("node");
    const agent = await nodes.agent(name);
    const session = await agent.join(name);
    const stop = new AbortController();
    const opening = nodes.server.open(name, request, stop.signal);
    const { streamId } = await session.received("openStream");
    stop.abort();
    await assert.rejects(opening, { name: "AbortError" });
    const late = agent.stream(streamId);
    await eventually("the late call is refused", () => late.error?.code === status.NOT_FOUND);
  });
});

import assert from "node:assert/strict";
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { describe, test } from "node:test";
import { connect } from "node:tls";
import { status } from "@grpc/grpc-js";
import type { Node } from "@tessera/proto";
import { CertificateAuthority } from "../auth/certificate-authority.ts";
import { pod } from "../controllers/testing/builders.ts";
import { eventually, ManualClock } from "../controllers/testing/fakes.ts";
import { newSigningKeys, signingRequest } from "../join/testing/tokens.ts";
import { aNodeStatus, held } from "./testing/fake-agent.ts";
import { sharedControlPlane } from "./testing/shared-control-plane.ts";

const plane = sharedControlPlane();
const { fresh, create, current, nodeOf, readyOf } = plane;

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

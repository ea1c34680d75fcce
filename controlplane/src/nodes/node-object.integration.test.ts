import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { status } from "@grpc/grpc-js";
import { eventually, ManualClock } from "../controllers/testing/fakes.ts";
import { aNodeStatus } from "./testing/fake-agent.ts";
import { sharedControlPlane } from "./testing/shared-control-plane.ts";

const plane = sharedControlPlane();
const { fresh, nodeOf, readyOf } = plane;

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

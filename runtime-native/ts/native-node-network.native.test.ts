import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdir, readdir, readFile, readlink, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { afterEach, before, beforeEach, describe, test } from "node:test";
import { promisify } from "node:util";
import type { NodeNetworkSpec } from "./node-network.ts";
import type { NetworkNode } from "./testing/network-node.ts";
import type { TestNetns } from "./testing/node-process.ts";
import { patienceMs, until } from "./testing/patience.ts";
import { TwoNodes } from "./testing/two-nodes.ts";

const run = promisify(execFile);
/** An address that only the outside has. */
const outsideAddress = "198.51.100.1";
const port = 8080;

describe("NativeNodeNetwork", () => {
  let nodes: TwoNodes;
  let outside: TestNetns;
  let a: NetworkNode;
  let b: NetworkNode;

  before(() => TwoNodes.build());

  beforeEach(async () => {
    nodes = await TwoNodes.make("tst-n");
    ({ outside, a, b } = nodes);
    await outside.ip("address", "add", `${outsideAddress}/32`, "dev", "lo");
  });
  afterEach(() => nodes.remove());

  const serve = (netns: string) => nodes.serve(netns, TwoNodes.probe("tcp"), "serve", String(port));
  /** The address that the server sees. */
  const ask = (netns: string, address: string, patience = patienceMs) => nodes.askTcp(netns, address, port, patience);
  const unreachable = (netns: string, address: string) => assert.rejects(ask(netns, address, 300), /connect: /);

  async function pod(node: NetworkNode, id: string, last: number): Promise<{ path: string; address: string }> {
    const address = node.spec.podCidr.replace("0/24", String(last));
    const { path } = await node.agent.call("createPodNetns", { id, address });
    return { path, address };
  }

  /** The ends on the node of what is prepared, or about to be. */
  async function poolLinks(): Promise<string[]> {
    return (await a.agent.call("listPodLinks")).flatMap(({ link, id }) => (id === undefined ? [link] : []));
  }

  /** How many network namespaces the agent holds. */
  async function netnsDescriptors(): Promise<number> {
    const folder = `/proc/${a.agent.pid}/fd`;
    const targets = await Promise.all((await readdir(folder)).map((fd) => readlink(join(folder, fd)).catch(() => "")));
    return targets.filter((target) => target.startsWith("net:[")).length;
  }

  test("pods reach pods on both nodes without NAT, and the outside as their node", async () => {
    await nodes.join();
    const a1 = await pod(a, "a1", 2);
    const a2 = await pod(a, "a2", 3);
    const b1 = await pod(b, "b1", 2);
    for (const netns of [a1.path, a2.path, b1.path, outside.path]) await serve(netns);

    assert.equal(await ask(a1.path, a2.address), a1.address);
    assert.equal(await ask(a1.path, b1.address), a1.address);
    assert.equal(await ask(b1.path, a2.address), b1.address);
    assert.equal(await ask(a1.path, outsideAddress), a.spec.nodeAddress);
    assert.equal(await ask(b1.path, outsideAddress), b.spec.nodeAddress);
    assert.equal(await ask(a1.path, a1.address), a1.address);
    assert.equal(await ask(a1.path, "127.0.0.1"), "127.0.0.1");
    // The nodes themselves, as for probes: from an address that pods on the other node can answer.
    assert.equal(await ask(a.netns.path, a1.address), "10.64.1.1");
    assert.equal(await ask(a.netns.path, b1.address), "10.64.1.1");
    await serve(a.netns.path);
    assert.equal(await ask(a1.path, "10.64.1.1"), a1.address);
    assert.equal(await ask(a1.path, a.spec.nodeAddress), a1.address);

    const inside = async (what: string) => (await run("nsenter", [`--net=${a1.path}`, ...what.split(" ")])).stdout.trim();
    assert.match(await inside("ip -o -4 address show dev eth0"), /10\.64\.1\.2\/32/);
    assert.match(await inside("ip link show dev eth0"), /mtu 1450 .*UP/);
    assert.equal(await inside("ip -6 address show dev eth0"), "");
    const settings: Readonly<Record<string, string>> = {
      "ipv6/conf/eth0/accept_ra": "0",
      "ipv6/conf/eth0/disable_ipv6": "1",
      "ipv6/conf/default/disable_ipv6": "1",
      "ipv4/conf/eth0/arp_notify": "1",
      "ipv4/ip_unprivileged_port_start": "0",
      "ipv4/ping_group_range": "0\t2147483647",
    };
    for (const [name, value] of Object.entries(settings)) assert.equal(await inside(`cat /proc/sys/net/${name}`), value, name);
  });

  test("the node's ends: one queue, isolated, locked, without learning and without IPv6; threads that made them are back", async () => {
    await a.agent.call("ensureNode", a.spec);
    await pod(a, "a1", 2);
    const { path } = await pod(a, "a2", 3);
    for (const { link, id } of await a.agent.call("listPodLinks")) {
      if (id === undefined) continue;
      const described = await a.netns.ip("-d", "link", "show", "dev", link);
      assert.match(described, /numtxqueues 1 numrxqueues 1 /, link);
      assert.match(described, / isolated on .*locked on /, link);
      assert.match(described, / learning off /, link);
      assert.equal(await a.netns.ip("-6", "address", "show", "dev", link), "", link);
    }
    assert.match(
      (await run("nsenter", [`--net=${path}`, "ip", "-d", "link", "show", "dev", "eth0"])).stdout,
      /numtxqueues 1 numrxqueues 1 /,
    );

    // A device is made by a thread that is back already.
    await until("full pool", async () => (await poolLinks()).length === 2);
    const tasks = `/proc/${a.agent.pid}/task`;
    const namespaces = await Promise.all((await readdir(tasks)).map((task) => readlink(join(tasks, task, "ns/net"))));
    assert.ok(namespaces.length > 4, "the worker threads are not there");
    assert.deepEqual([...new Set(namespaces)], [await readlink(`/proc/${a.agent.pid}/ns/net`)]);
    assert.equal(`net:[${(await stat(a.netns.path)).ino}]`, namespaces[0]);
  });

  test("pods of one node do not see each other's frames, and cannot speak for others", async () => {
    await a.agent.call("ensureNode", a.spec);
    const a1 = await pod(a, "a1", 2);
    const a2 = await pod(a, "a2", 3);
    const a3 = await pod(a, "a3", 4);
    await serve(a2.path);
    const inside = (netns: string, ...command: string[]) => run("nsenter", [`--net=${netns}`, ...command]);
    const works = async () => assert.equal(await ask(a1.path, a2.address), a1.address);
    await works();

    // As if it were on the wire: without the node's routing there is no way.
    await inside(a1.path, "ip", "route", "add", `${a2.address}/32`, "dev", "eth0");
    await unreachable(a1.path, a2.address);
    await inside(a1.path, "ip", "route", "del", `${a2.address}/32`, "dev", "eth0");
    await works();

    // With an address of nobody, from outside or inside the node's range, with another pod's, and with that pod's MAC as well. The node's own rules drop what it sends: the server
    // would answer, and the rightful owner of the address would refuse the answer.
    const seen = async () => {
      const listed = await a.netns.run("sh", "-c", "ip neighbour show dev tessera0; bridge fdb show br tessera0 | grep ^0a:70");
      return listed.replace(/ (REACHABLE|STALE|DELAY|PROBE)/g, "");
    };
    await ask(a.netns.path, a2.address);
    const before = await seen();
    for (const [address, mac] of [
      ["203.0.113.9", "0a:70:cb:00:71:09"],
      ["10.64.1.99", "0a:70:0a:40:01:63"],
      [a1.address, "0a:70:0a:40:01:04"],
      [a1.address, "0a:70:0a:40:01:02"],
    ] as const) {
      await inside(
        a3.path,
        "sh",
        "-c",
        `ip address flush dev eth0 && ip link set eth0 address ${mac} && ip address add ${address}/32 dev eth0`,
      );
      await inside(a3.path, "sh", "-c", "ip route add 10.64.1.1 dev eth0; ip route add default via 10.64.1.1");
      await unreachable(a3.path, a2.address);
      await works();
      assert.equal(await seen(), before, `${address} ${mac}`);
    }
    await assert.rejects(
      inside(a3.path, TwoNodes.probe("tcp"), "ask", "10.64.1.1", "1", "300"),
      /(timed out|No route|progress|unavailable)/,
    );
  });

  test("ensureNode changes nothing that is right, and mends what is wrong", async () => {
    await nodes.join();
    const a1 = await pod(a, "a1", 2);
    const b1 = await pod(b, "b1", 2);
    await serve(b1.path);
    await serve(outside.path);
    const bridge = () => a.netns.ip("-o", "link", "show", "dev", "tessera0");
    const state = async () =>
      [
        await bridge(),
        await a.netns.ip("-o", "-d", "link", "show", "dev", "tessera.vx"),
        await a.netns.ip("-o", "-4", "address"),
        await a.netns.ip("route"),
        await a.netns.ip("neighbour", "show", "dev", "tessera.vx"),
        await a.netns.run("bridge", "fdb", "show", "dev", "tessera.vx"),
        await a.netns.run("nft", "list", "ruleset"),
      ].join("\n");
    const first = await state();
    await a.agent.call("ensureNode", a.spec);
    await a.agent.call("setPeers", [b.peer]);
    assert.equal(await state(), first);
    assert.match(first, /10\.64\.2\.0\/24 via 10\.64\.2\.0 dev tessera\.vx .*src 10\.64\.1\.1/);

    const a1Link = (await a.agent.call("listPodLinks")).find(({ id }) => id === "a1");
    const damages: string[][] = [
      ["ip", "route", "del", "10.64.2.0/24"],
      ["ip", "neighbour", "flush", "nud", "permanent", "dev", "tessera.vx"],
      ["bridge", "fdb", "del", "0a:76:ac:1f:4d:02", "dev", "tessera.vx"],
      ["ip", "link", "set", "tessera.vx", "down"],
      ["ip", "link", "del", "tessera.vx"],
      ["nft", "delete", "table", "ip", "tessera"],
      ["nft", "delete", "table", "bridge", "tessera"],
      ["bridge", "fdb", "del", "0a:70:0a:40:01:02", "dev", a1Link?.link ?? "", "master"],
      ["ip", "link", "set", "tessera0", "down"],
      ["ip", "address", "flush", "dev", "tessera0"],
      ["ip", "address", "add", "10.99.0.1/24", "dev", "tessera0"],
      ["ip", "link", "del", "tessera0"],
      ["sh", "-c", "ip link del tessera.vx && ip link add tessera.vx type bridge"],
      ["sh", "-c", "ip link del tessera0 && ip link add tessera0 type veth peer name junk"],
      ["sh", "-c", "echo 0 >/proc/sys/net/ipv4/ip_forward"],
    ];
    for (const damage of damages) {
      await a.netns.run(damage[0] ?? "", ...damage.slice(1));
      await a.agent.call("ensureNode", a.spec);
      // The kernel looks at the ports of a bridge within a second after it has come up.
      await until(`tessera0 has a carrier after ${damage.join(" ")}`, async () => / state UP /.test(await bridge()));
      assert.equal(await ask(a1.path, b1.address), a1.address, damage.join(" "));
      assert.equal(await ask(a1.path, outsideAddress), a.spec.nodeAddress, damage.join(" "));
      // Links made anew have new indexes; all else is as it was.
      assert.equal((await state()).replace(/^\d+: /gm, ""), first.replace(/^\d+: /gm, ""), damage.join(" "));
    }
  });

  test("exactly the peers of the last call are known, and a peer may move", async () => {
    await nodes.join();
    const a1 = await pod(a, "a1", 2);
    const b1 = await pod(b, "b1", 2);
    await serve(b1.path);
    assert.equal(await ask(a1.path, b1.address), a1.address);
    const many = Array.from({ length: 300 }, (_, i) => ({
      nodeAddress: `172.30.${i >> 8}.${i & 255}`,
      podCidr: `10.64.${100 + (i >> 3)}.${(i & 7) * 32}/27`,
    }));
    await a.agent.call("setPeers", many);
    assert.equal((await a.netns.ip("route", "show", "dev", "tessera.vx")).trim().split("\n").length, 300);
    await unreachable(a1.path, b1.address);
    await a.agent.call("setPeers", []);
    assert.equal(await a.netns.ip("route", "show", "dev", "tessera.vx"), "");
    assert.equal(await a.netns.ip("neighbour", "show", "dev", "tessera.vx"), "");
    assert.equal(await a.netns.run("bridge", "fdb", "show", "dev", "tessera.vx"), "");

    // Another node had b's pod addresses before.
    await a.agent.call("setPeers", [{ nodeAddress: "172.31.77.9", podCidr: b.spec.podCidr }]);
    await unreachable(a1.path, b1.address);
    await a.agent.call("setPeers", [b.peer]);
    assert.equal(await ask(a1.path, b1.address), a1.address);
    await assert.rejects(a.agent.call("setPeers", [b.peer, { ...b.peer, nodeAddress: "172.31.77.9" }]), {
      reason: "InvalidArgument",
      message: /two nodes have the same pod addresses/,
    });
    await assert.rejects(a.agent.call("setPeers", [{ nodeAddress: "172.31.77.300", podCidr: b.spec.podCidr }]), {
      reason: "InvalidArgument",
      message: /"172\.31\.77\.300" is no IPv4 address/,
    });
  });

  test("a killed agent takes with it what nothing runs in; its successor finds the pods, and goes on", async () => {
    await nodes.join();
    const a1 = await pod(a, "a1", 2);
    const b1 = await pod(b, "b1", 2);
    const server = await serve(a1.path);
    await pod(a, "empty", 3);
    await until("full pool", async () => (await poolLinks()).length === 2);
    // As an agent of an earlier version held what was a pod's and what was prepared.
    const handles = [join(a.runDir, "netns", "a1"), join(a.runDir, "netns-pool", "tsv0"), join(a.runDir, "netns", "half")];
    for (const [i, handle] of handles.entries()) {
      await mkdir(dirname(handle), { recursive: true });
      await writeFile(handle, "");
      if (i < 2) await run("mount", ["--bind", a1.path, handle]);
    }
    await a.agent.kill();
    assert.equal(await ask(b1.path, a1.address), b1.address);
    const links = async () => (await a.netns.ip("-o", "link", "show", "type", "veth")).match(/tsv\w+/g) ?? [];
    await until("end of all but one with the agent", async () => (await links()).length === 1);

    a.start(1);
    assert.deepEqual(
      (await a.agent.call("listPodLinks")).map(({ id }) => id),
      ["a1"],
    );
    await assert.rejects(a.agent.call("createPodNetns", { id: "early", address: "10.64.1.9" }), { message: /network is not set up/ });
    await a.agent.call("ensureNode", a.spec);
    assert.deepEqual(await readdir(a.runDir), []);
    assert.doesNotMatch(await readFile("/proc/self/mountinfo", "utf8"), new RegExp(a.runDir));
    const next = await pod(a, "next", 4);
    assert.equal(await ask(next.path, a1.address), next.address);
    await a.agent.call("releaseNetns", "a1");
    assert.equal(await ask(next.path, a1.address), next.address);
    server.kill("SIGKILL");
    await until("end of the device", async () => !(await a.agent.call("listPodLinks")).some(({ id }) => id === "a1"));
  });

  test("a pod's second namespace takes the place of its first", async () => {
    await a.agent.call("ensureNode", a.spec);
    const first = await pod(a, "a1", 2);
    const { ino } = await stat(first.path);
    const same = await pod(a, "a1", 2);
    assert.notEqual((await stat(same.path)).ino, ino);
    const moved = await pod(a, "a1", 5);
    await serve(moved.path);
    assert.equal(await ask(a.netns.path, "10.64.1.5"), "10.64.1.1");
    await until("end of the others", async () => (await a.agent.call("listPodLinks")).filter(({ id }) => id === "a1").length === 1);
  });

  test("a released namespace lives as long as its processes, then its device goes", async () => {
    await a.agent.call("ensureNode", a.spec);
    const a1 = await pod(a, "a1", 2);
    const server = await serve(a1.path);
    await until("nothing but the pod held", async () => (await netnsDescriptors()) === 1);
    await a.agent.call("releaseNetns", "a1");
    assert.equal(await netnsDescriptors(), 0);
    assert.equal(await ask(a.netns.path, a1.address), "10.64.1.1");
    server.kill("SIGKILL");
    await until("end of the device", async () => (await a.agent.call("listPodLinks")).every(({ id }) => id === undefined));
    await a.agent.call("releaseNetns", "a1");

    // The next pod with the address is reached at once, whatever was remembered of the last one.
    const next = await pod(a, "next", 2);
    await serve(next.path);
    assert.equal(await ask(a.netns.path, next.address), "10.64.1.1");
  });

  test("a failure says why and leaves nothing behind", async () => {
    await a.agent.kill();
    a.start(0);
    await a.agent.call("ensureNode", a.spec);
    await a.netns.ip("link", "del", "tessera0");
    await assert.rejects(pod(a, "a1", 2), { reason: "Internal", step: "find bridge", message: /tessera0: No such device/ });
    assert.deepEqual(await a.agent.call("listPodLinks"), []);
    for (const [id, address] of [
      ["../a1", "10.64.1.2"],
      ["a/b", "10.64.1.2"],
      ["", "10.64.1.2"],
      ["a1", "10.64.2.2"],
      ["a1", "10.64.1"],
      ["a1", "10.64.1.02"],
    ] as const)
      await assert.rejects(a.agent.call("createPodNetns", { id, address }), { reason: "InvalidArgument" }, `${id} ${address}`);
    const specs: [Partial<NodeNetworkSpec>, object][] = [
      [{ nodeAddress: "172.31.77.99" }, { step: "find node device", message: /no device has the address 172\.31\.77\.99/ }],
      [{ nodeDevice: "absent" }, { step: "find node device", message: /absent/ }],
      [{ podCidr: "10.65.0.0/24" }, { reason: "InvalidArgument", message: /10\.65\.0\.0\/24 is no part of 10\.64\.0\.0\/16/ }],
      [{ podCidr: "10.64.1.1/24" }, { reason: "InvalidArgument" }],
      [{ podCidr: "10.64.1.0/31" }, { message: /no room/ }],
      [{ podCidr: "10.64.0.0/18" }, { message: /larger than a node may have: \/20/ }],
      [{ clusterCidr: "10.64.0.0/16 }; flush ruleset; {" }, { reason: "InvalidArgument" }],
    ];
    for (const [wrong, expected] of specs) await assert.rejects(a.agent.call("ensureNode", { ...a.spec, ...wrong }), expected);
  });

  test("forty pods at once, and then no trace of the node", async (t) => {
    await a.agent.call("ensureNode", a.spec);
    await until("full pool", async () => (await poolLinks()).length === 2);
    const first = performance.now();
    await pod(a, "single", 100);
    t.diagnostic(`one pod from the pool: ${(performance.now() - first).toFixed(1)} ms`);
    const start = performance.now();
    const pods = await Promise.all(Array.from({ length: 40 }, (_, i) => pod(a, `p${i}`, 2 + i)));
    t.diagnostic(`forty pods: ${(performance.now() - start).toFixed(0)} ms`);
    assert.equal((await a.agent.call("listPodLinks")).filter(({ id }) => id !== undefined).length, 41);
    const server = await serve(pods[39]?.path ?? "");
    assert.equal(await ask(pods[0]?.path ?? "", "10.64.1.41"), "10.64.1.2");
    server.kill("SIGKILL");
    await once(server, "exit");
    for (const { id } of await a.agent.call("listPodLinks")) if (id !== undefined) await a.agent.call("releaseNetns", id);
    await a.agent.call("removeNode");
    await a.agent.call("removeNode");
    await a.agent.call("close");
    assert.deepEqual(await a.agent.call("listPodLinks"), []);
    assert.doesNotMatch(await a.netns.ip("-o", "link"), /tessera|tsv/);
    assert.equal(await a.netns.run("nft", "list", "ruleset"), "");
    assert.doesNotMatch(await a.netns.ip("route"), /10\.64/);
    assert.doesNotMatch(await readFile("/proc/self/mountinfo", "utf8"), new RegExp(a.runDir));
    assert.equal(await netnsDescriptors(), 0);
  });
});

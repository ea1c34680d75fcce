import assert from "node:assert/strict";
import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { constants } from "node:os";
import { afterEach, before, beforeEach, describe, test } from "node:test";
import { promisify } from "node:util";
import { hostPortTable } from "./host-port-rules.ts";
import type { HostPortProtocol, PodHostPort } from "./node-network.ts";
import type { NetworkNode } from "./testing/network-node.ts";
import type { TestNetns } from "./testing/node-process.ts";
import { patienceMs } from "./testing/patience.ts";
import { TwoNodes } from "./testing/two-nodes.ts";

const run = promisify(execFile);
const { outsideAddress } = TwoNodes;
/** The pod's own port. */
const podPort = 8080;
const port = 18_080;

const tcpPort = (more: Partial<PodHostPort> = {}): PodHostPort => ({ protocol: "TCP", address: "0.0.0.0", port, podPort, ...more });

describe("host ports", () => {
  let nodes: TwoNodes;
  let outside: TestNetns;
  let a: NetworkNode;
  let b: NetworkNode;

  before(() => TwoNodes.build());

  beforeEach(async () => {
    nodes = await TwoNodes.make("tst-p");
    ({ outside, a, b } = nodes);
    await nodes.join();
  });
  afterEach(() => nodes.remove());

  const serveTcp = (netns: string, at = podPort) => nodes.serve(netns, TwoNodes.probe("tcp"), "serve", String(at));
  const serveUdp = (netns: string, name: string, at = podPort) => nodes.serve(netns, TwoNodes.probe("udp"), "serve", String(at), name);
  /** The address that the server sees. */
  const ask = (netns: string, address: string, at = port, patience = patienceMs) => nodes.askTcp(netns, address, at, patience);
  async function askUdp(netns: string, address: string, from = 0, patience = patienceMs): Promise<string> {
    const words = ["ask", address, String(port), String(patience), String(from)];
    return (await run("nsenter", [`--net=${netns}`, TwoNodes.probe("udp"), ...words])).stdout.trim();
  }
  const unreachable = (asking: Promise<string>) => assert.rejects(asking, /(connect|receive|send): /);

  async function pod(node: NetworkNode, id: string, last: number): Promise<{ path: string; address: string; id: string }> {
    const address = node.spec.podCidr.replace("0/24", String(last));
    const { path } = await node.agent.call("createPodNetns", { id, address, hasHostPorts: true });
    return { path, address, id };
  }
  const open = (node: NetworkNode, { id, address }: { id: string; address: string }, ...ports: PodHostPort[]) =>
    node.agent.call("openHostPorts", { id, address, ports });
  const rules = async () => (await a.netns.run("nft", "list", "tables")).includes(hostPortTable);

  /** With bridges of the node that call the IP rules, and with such that do not; a kernel without br_netfilter has only the latter. */
  async function forBridges(check: () => Promise<void>): Promise<void> {
    const setting = "/proc/sys/net/bridge/bridge-nf-call-iptables";
    if (!existsSync(setting)) return await check();
    for (const calls of ["1", "0"]) {
      await a.netns.run("sh", "-c", `echo ${calls} >${setting}`);
      await check();
    }
  }

  test("lead to the pod from everywhere, which sees who asks", async () => {
    const [web, neighbour, far] = [await pod(a, "web", 2), await pod(a, "neighbour", 3), await pod(b, "far", 2)];
    const [nodeA, nodeB] = [a.spec.nodeAddress, b.spec.nodeAddress];
    await serveTcp(web.path);
    await serveUdp(web.path, "web");
    await unreachable(ask(outside.path, nodeA));
    await open(a, web, tcpPort(), tcpPort({ protocol: "UDP" }), tcpPort({ protocol: "SCTP" }));

    await forBridges(async () => {
      assert.equal(await ask(outside.path, nodeA), outsideAddress);
      assert.equal(await ask(b.netns.path, nodeA), nodeB);
      assert.equal(await ask(far.path, nodeA), nodeB);
      assert.equal(await ask(neighbour.path, nodeA), neighbour.address);
      assert.equal(await ask(neighbour.path, "10.64.1.1"), neighbour.address);
      assert.equal(await ask(web.path, nodeA), "10.64.1.1", "itself, through the node");
      assert.equal(await ask(a.netns.path, nodeA), nodeA);
      assert.equal(await ask(a.netns.path, "127.0.0.1"), "10.64.1.1");
      assert.equal(await askUdp(outside.path, nodeA), `web ${outsideAddress}`);
      assert.equal(await askUdp(a.netns.path, "127.0.0.1"), "web 10.64.1.1");
      assert.equal(await askUdp(web.path, nodeA), "web 10.64.1.1");
    });

    // Not from other nodes' ports, and not for what only passes through this node.
    await unreachable(ask(outside.path, nodeB));
    await serveTcp(outside.path, port);
    assert.equal(await ask(neighbour.path, outsideAddress), nodeA);
    assert.deepEqual(
      (await a.agent.call("listHostPorts")).map(({ id, ports }) => ({ id, protocols: ports.map(({ protocol }) => protocol).sort() })),
      [{ id: "web", protocols: ["SCTP", "TCP", "UDP"] }],
    );
  });

  test("bring no pod nearer to another than the node's routing", async () => {
    const [web, neighbour] = [await pod(a, "web", 2), await pod(a, "neighbour", 3)];
    await open(a, web, tcpPort());
    for (const { path } of [web, neighbour]) await serveTcp(path);
    await forBridges(async () => {
      for (const [from, to] of [
        [web, neighbour],
        [neighbour, web],
      ] as const) {
        assert.equal(await ask(from.path, to.address, podPort), from.address);
        const mac = `0a:70:0a:40:01:0${to.address.at(-1)}`;
        const inside = (command: string) => run("nsenter", [`--net=${from.path}`, "sh", "-c", command]);
        await inside(`ip route add ${to.address} dev eth0 && ip neighbour add ${to.address} lladdr ${mac} dev eth0`);
        await unreachable(ask(from.path, to.address, podPort, 300));
        await inside(`ip route del ${to.address} dev eth0 && ip neighbour del ${to.address} dev eth0`);
      }
    });
    // It is the rule that keeps them apart, as the port is open, so this test can fail.
    await a.netns.run("nft", "flush", "chain", "bridge", "tessera", "prerouting");
    await run("nsenter", [`--net=${neighbour.path}`, "ip", "route", "add", web.address, "dev", "eth0"]);
    assert.equal(await ask(neighbour.path, web.address, podPort), neighbour.address);
  });

  test("at one address lead from there only", async () => {
    const web = await pod(a, "web", 2);
    const other = await pod(a, "other", 3);
    await serveTcp(web.path);
    await serveUdp(other.path, "other");
    await open(a, web, tcpPort({ address: "127.0.0.1" }));
    await open(a, other, tcpPort({ protocol: "UDP", address: a.spec.nodeAddress }));
    assert.equal(await ask(a.netns.path, "127.0.0.1"), "10.64.1.1");
    await unreachable(ask(a.netns.path, a.spec.nodeAddress));
    await unreachable(ask(outside.path, a.spec.nodeAddress));
    assert.equal(await askUdp(outside.path, a.spec.nodeAddress), `other ${outsideAddress}`);
    await unreachable(askUdp(a.netns.path, "127.0.0.1", 0, 300));
    await assert.rejects(open(a, other, tcpPort({ address: "192.0.2.77" })), { message: /at 192\.0\.2\.77: the node has no such address/ });
  });

  test("open no way to 127.0.0.1 for others, be it the node's or a pod's", async () => {
    const [web, evil] = [await pod(a, "web", 2), await pod(a, "evil", 3)];
    await serveTcp(web.path);
    const own = 19_090;
    await serveTcp(a.netns.path, own);
    await open(a, web, tcpPort({ address: "127.0.0.1" }));
    assert.equal(await ask(a.netns.path, "127.0.0.1"), "10.64.1.1");
    // Somebody for whom 127.0.0.1 is an address like any other.
    const forsake = async (netns: string, gateway: string, device: string) =>
      await run("nsenter", [
        `--net=${netns}`,
        "sh",
        "-c",
        `ip address flush dev lo && echo 1 >/proc/sys/net/ipv4/conf/${device}/route_localnet && ip route add 127.0.0.1 via ${gateway} dev ${device}`,
      ]);
    await forsake(evil.path, "10.64.1.1", "eth0");
    await forsake(outside.path, a.spec.nodeAddress, "wires");
    for (const netns of [evil.path, outside.path]) for (const at of [own, port]) await unreachable(ask(netns, "127.0.0.1", at, 300));
    // It is the rule that keeps the neighbour out, so this test can fail.
    await a.netns.run("nft", "flush", "chain", "ip", hostPortTable, "guard");
    assert.equal(await ask(evil.path, "127.0.0.1", own), evil.address);
  });

  test("that are taken are told with who has them, and nothing is changed", async () => {
    const [web, second] = [await pod(a, "web", 2), await pod(a, "second", 3)];
    await serveTcp(web.path);
    const server = await serveTcp(a.netns.path, port);
    const taken = (holder?: string) => ({
      reason: "AlreadyExists",
      errno: constants.errno.EADDRINUSE,
      ...(holder === undefined ? { message: `port ${port}/TCP of the node is taken` } : { holder }),
    });
    // All or none: the UDP port is free and stays so.
    await assert.rejects(open(a, web, tcpPort({ protocol: "UDP" }), tcpPort()), taken());
    assert.deepEqual(await a.agent.call("listHostPorts"), []);
    await serveUdp(a.netns.path, "node", port);
    // What listens at one address is in the way of all.
    server.kill("SIGKILL");
    await once(server, "exit");
    await open(a, web, tcpPort());
    for (const address of ["0.0.0.0", "127.0.0.1", a.spec.nodeAddress])
      await assert.rejects(open(a, second, tcpPort({ address })), taken("web"));
    await assert.rejects(open(a, second, tcpPort({ protocol: "UDP" })), /* the server's */ { errno: constants.errno.EADDRINUSE });
    assert.equal(await ask(outside.path, a.spec.nodeAddress), outsideAddress);

    // Nobody of the node takes it from the pod unseen.
    await assert.rejects(
      run("nsenter", [`--net=${a.netns.path}`, TwoNodes.probe("tcp"), "serve", String(port)]),
      /listen: Address .*in use/,
    );
    await a.agent.call("closeHostPorts", "web");
    await open(a, second, tcpPort());
  });

  test("outlive the agent with their connections, and its successor takes them over", async () => {
    const web = await pod(a, "web", 2);
    const other = await pod(a, "other", 3);
    await nodes.serve(web.path, "sh", "-c", `echo ready; exec socat TCP-LISTEN:${podPort},reuseaddr,fork EXEC:cat`);
    await open(a, web, tcpPort());
    const client = spawn("nsenter", [`--net=${outside.path}`, "socat", "-", `TCP:${a.spec.nodeAddress}:${port}`]);
    nodes.endLater(client);
    const echo = async (text: string) => {
      client.stdin.write(`${text}\n`);
      const ended = once(client, "exit").then(() => assert.fail("the connection ended"));
      ended.catch(() => undefined);
      assert.equal(String((await Promise.race([once(client.stdout, "data"), ended]))[0]), `${text}\n`);
    };
    await echo("before");
    await a.agent.kill();
    await echo("without an agent");
    // Somebody takes the port meanwhile: that is told, and the pod keeps it.
    const server = await serveTcp(a.netns.path, port);
    a.start();
    await a.agent.call("ensureNode", a.spec);
    await assert.rejects(open(a, web, tcpPort()), { errno: constants.errno.EADDRINUSE });
    await echo("in spite of a server");
    server.kill("SIGKILL");
    await once(server, "exit");
    await a.agent.kill();
    a.start();
    assert.deepEqual(await a.agent.call("listHostPorts"), [{ id: "web", address: web.address, ports: [tcpPort()] }]);
    await a.agent.call("ensureNode", a.spec);
    // It is the pod's though nothing holds it now.
    await assert.rejects(open(a, other, tcpPort()), { holder: "web" });
    await open(a, web, tcpPort());
    await open(a, web, tcpPort());
    await echo("after");
    // Somebody flushes all rules: they come back with the node's.
    await a.netns.run("nft", "flush", "ruleset");
    await a.agent.call("ensureNode", a.spec);
    await echo("at last");
    await unreachable(ask(outside.path, a.spec.nodeAddress, port + 1));
  });

  test("leave nothing when they are closed", async () => {
    const [web, other] = [await pod(a, "web", 2), await pod(a, "other", 3)];
    const localnet = () => a.netns.run("cat", "/proc/sys/net/ipv4/conf/tessera0/route_localnet");
    const before = await a.netns.run("nft", "list", "ruleset");
    assert.equal((await localnet()).trim(), "0");
    await open(a, web, tcpPort(), tcpPort({ protocol: "UDP", address: "127.0.0.1" }));
    await open(a, other, tcpPort({ port: port + 1 }));
    assert.equal((await localnet()).trim(), "1");
    await a.agent.call("closeHostPorts", "web");
    const [left] = await a.agent.call("listHostPorts");
    assert.deepEqual([left?.id, left?.ports.length], ["other", 1]);
    const text = await a.netns.run("nft", "list", "table", "ip", hostPortTable);
    assert.ok(!text.includes("web") && text.includes("other"), text);
    await a.agent.call("closeHostPorts", "web");
    await a.agent.call("closeHostPorts", "nobody");
    await a.agent.call("closeHostPorts", "other");
    assert.equal(await a.netns.run("nft", "list", "ruleset"), before);
    assert.equal((await localnet()).trim(), "0");
    assert.equal(await rules(), false);
    // By an agent that never heard of them.
    await open(a, web, tcpPort());
    await a.agent.kill();
    a.start();
    await a.agent.call("closeHostPorts", "web", web.address);
    assert.equal(await rules(), false);
    await a.agent.call("ensureNode", a.spec);
    await open(a, web, tcpPort());
    await a.agent.call("removeNode");
    assert.equal(await rules(), false);
  });

  test("of UDP go to the next pod for those who never stop sending", async () => {
    const [first, second] = [await pod(a, "first", 2), await pod(a, "second", 3)];
    await serveUdp(first.path, "first");
    await serveUdp(second.path, "second");
    const udp: HostPortProtocol = "UDP";
    const from = 40_000;
    const answer = () => askUdp(outside.path, a.spec.nodeAddress, from);
    // Taken as the node's, where nobody listens; the kernel remembers that.
    await unreachable(answer());
    await open(a, first, tcpPort({ protocol: udp }));
    assert.equal(await answer(), `first ${outsideAddress}`);
    await a.agent.call("closeHostPorts", "first");
    await open(a, second, tcpPort({ protocol: udp }));
    assert.equal(await answer(), `second ${outsideAddress}`);
    await a.agent.call("closeHostPorts", "second");
    await unreachable(answer());
  });
});

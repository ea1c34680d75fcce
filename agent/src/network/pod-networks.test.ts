import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { describe, it } from "node:test";
import { HostPortTaken, type NodeNetworkSpec, type PeerNode } from "@tessera/runtime-native";
import { pino } from "pino";
import { FakeClock } from "../pod/testing/fake-clock.ts";
import { FakeNetwork } from "../pod/testing/fake-host.ts";
import { until } from "../pod/testing/harness.ts";
import { PodNetworks } from "./pod-networks.ts";

const SPEC: NodeNetworkSpec = { podCidr: "10.64.1.0/24", clusterCidr: "10.64.0.0/16", nodeAddress: "192.0.2.1", nodeDevice: "" };
const PEERS: PeerNode[] = [{ nodeAddress: "192.0.2.2", podCidr: "10.64.2.0/24" }];
const POD = { id: "u1", address: "10.64.1.2" };

class FlakyNetwork extends FakeNetwork {
  calls: string[] = [];
  failing = false;
  release: (() => void) | undefined;

  override async ensureNode(spec: { podCidr: string }): Promise<void> {
    this.calls.push(`ensure ${spec.podCidr}`);
    if (this.failing) throw new Error("rtnetlink: operation not permitted");
    await super.ensureNode(spec);
  }
  override async setPeers(peers: readonly PeerNode[]): Promise<void> {
    this.calls.push(`peers ${peers.length}`);
    await new Promise<void>((resolve) => {
      this.release = resolve;
      if (peers.length < 2) resolve();
    });
    await super.setPeers(peers);
  }
}

function make() {
  const network = new FlakyNetwork();
  const clock = new FakeClock();
  const changes: (string | undefined)[] = [];
  const closed: string[] = [];
  const networks: PodNetworks = new PodNetworks({
    network,
    clock,
    log: pino({ level: "silent" }),
    onChange: () => changes.push(networks.failure),
    onPortsClosed: () => closed.push("closed"),
    podName: (uid) => (uid === "u1" ? "default/web" : undefined),
  });
  return { network, clock, changes, closed, networks };
}

describe("the networks of pods", () => {
  it("are not to be had before the node's own is there, and say why", async () => {
    const { networks } = make();
    await assert.rejects(networks.createPodNetns(POD), /not ready: the control plane has not given this node a range/);
  });

  it("wait for a set-up that is under way", async () => {
    const { networks, changes } = make();
    networks.configure(SPEC);
    assert.equal((await networks.createPodNetns(POD)).path, "/fake/netns/u1");
    assert.deepEqual(changes, [undefined]);
  });

  it("come after a set-up that failed is tried again", async () => {
    const { network, clock, changes, networks } = make();
    network.failing = true;
    networks.configure(SPEC);
    await until(() => changes.length === 1);
    assert.match(networks.failure ?? "", /operation not permitted/);
    await assert.rejects(networks.createPodNetns(POD), /operation not permitted/);
    network.failing = false;
    clock.advance(500);
    await until(() => changes.length === 2);
    assert.equal(networks.failure, undefined);
    await networks.createPodNetns(POD);
  });

  it("know their peers, the newest ones when they change while they are being set", async () => {
    const { network, networks } = make();
    networks.setPeers([...PEERS, ...PEERS]);
    networks.configure(SPEC);
    await until(() => network.calls.length === 2);
    networks.setPeers(PEERS);
    networks.setPeers([]);
    network.release?.();
    await until(() => network.peers.length === 0 && network.calls.at(-1) === "peers 0");
    assert.deepEqual(network.calls, ["ensure 10.64.1.0/24", "peers 2", "peers 0"]);
  });

  it("are set up anew for another range, peers included, but not for the same", async () => {
    const { network, networks } = make();
    networks.setPeers(PEERS);
    networks.configure(SPEC);
    await until(() => network.calls.length === 2);
    networks.configure({ ...SPEC });
    networks.configure({ ...SPEC, podCidr: "10.64.9.0/24" });
    await until(() => network.calls.length === 4);
    assert.deepEqual(network.calls.slice(2), ["ensure 10.64.9.0/24", "peers 1"]);
  });

  it("open host ports, and say who has one", async () => {
    const { networks, closed } = make();
    const port = { protocol: "TCP", address: "0.0.0.0", port: 8080, podPort: 80 } as const;
    await assert.rejects(networks.openHostPorts({ ...POD, ports: [port] }), /the node's network is not ready/);
    networks.configure(SPEC);
    await networks.openHostPorts({ ...POD, ports: [port] });
    const other = { id: "u2", address: "10.64.1.3", ports: [port] };
    await assert.rejects(networks.openHostPorts(other), {
      name: "TesseraError",
      reason: "Conflict",
      message: 'port 8080/TCP of the node is taken by pod "default/web"',
    });
    assert.deepEqual(closed, []);
    await networks.closeHostPorts("u1");
    assert.deepEqual(closed, ["closed"]);
    await networks.openHostPorts(other);
    await assert.rejects(networks.openHostPorts({ ...POD, ports: [port] }), /taken by a pod with uid u2/);
  });

  it("say which process listens on a port that is wanted", async () => {
    const { network, networks } = make();
    networks.configure(SPEC);
    const server = createServer().listen(0, "127.0.0.1");
    await once(server, "listening");
    const port = { protocol: "TCP", address: "0.0.0.0", port: (server.address() as AddressInfo).port, podPort: 80 } as const;
    network.openHostPorts = async () => {
      throw new HostPortTaken(port, undefined);
    };
    const command = (await readFile("/proc/self/comm", "utf8")).trim();
    await assert.rejects(networks.openHostPorts({ ...POD, ports: [port] }), {
      message: `port ${port.port}/TCP of the node is taken by process ${process.pid} (${command}) on the node`,
    });
    server.close();
    await once(server, "close");
    await assert.rejects(networks.openHostPorts({ ...POD, ports: [port] }), /is taken by something on the node/);
  });
});

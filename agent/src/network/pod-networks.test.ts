import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { NodeNetworkSpec, PeerNode } from "@tessera/runtime-native";
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
  const networks: PodNetworks = new PodNetworks({
    network,
    clock,
    log: pino({ level: "silent" }),
    onChange: () => changes.push(networks.failure),
  });
  return { network, clock, changes, networks };
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
});

import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { NodeNetworkSpec, PeerNode } from "../node-network.ts";
import { NodeProcess, TestNetns } from "./node-process.ts";

const nativeDir = fileURLToPath(new URL("../../../dist", import.meta.url));
const clusterCidr = "10.64.0.0/16";

/** A node with one wire to the outside, and the agent in it. */
export class NetworkNode {
  readonly netns: TestNetns;
  readonly spec: NodeNetworkSpec;
  readonly runDir: string;
  agent: NodeProcess;

  constructor(name: string, number: number, folder: string) {
    this.netns = new TestNetns(name);
    this.spec = { podCidr: `10.64.${number}.0/24`, clusterCidr, nodeAddress: `172.31.77.${number}`, nodeDevice: "" };
    this.runDir = join(folder, name);
    this.agent = undefined as unknown as NodeProcess;
  }

  async make(outside: TestNetns): Promise<void> {
    await this.netns.make();
    const link = `w${this.spec.nodeAddress.split(".").at(-1)}`;
    await this.netns.ip("link", "add", "wire", "type", "veth", "peer", "name", link, "netns", outside.name);
    await outside.ip("link", "set", link, "master", "wires", "up");
    await this.netns.ip("address", "add", `${this.spec.nodeAddress}/24`, "dev", "wire");
    await this.netns.ip("link", "set", "wire", "up");
    await this.netns.ip("route", "add", "default", "via", "172.31.77.254");
    this.start();
  }

  start(poolSize = 2): void {
    this.agent = new NodeProcess({ netns: this.netns.path, nativeDir, runDir: this.runDir, poolSize });
  }

  get peer(): PeerNode {
    return { nodeAddress: this.spec.nodeAddress, podCidr: this.spec.podCidr };
  }

  async remove(): Promise<void> {
    await this.agent.kill();
    await this.netns.remove();
  }
}

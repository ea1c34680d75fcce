import { closeSync, existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import type { Binding } from "./binding.ts";
import { HostPorts } from "./host-ports.ts";
import { type Cidr, contains, formatAddress, formatCidr, parseAddress, parseCidr } from "./ipv4.ts";
import { Limiter } from "./limiter.ts";
import type { NativeLibrary } from "./native-library.ts";
import { readLines } from "./native-text.ts";
import { NetnsPool } from "./netns-pool.ts";
import type { HostPortsSpec, NodeNetwork, NodeNetworkSpec, PeerNode, PodNetworkSpec } from "./node-network.ts";
import { RuntimeError } from "./runtime.ts";

export interface NativeNodeNetworkSettings {
  readonly library: NativeLibrary;
  /** Where earlier versions held namespaces by mounts, in "netns" and "netns-pool". */
  readonly runDir: string;
  /** How many namespaces are prepared ahead; 0: none; 4 when absent. */
  readonly poolSize?: number;
}

const bridge = "tessera0";
const vxlan = "tessera.vx";
const vxlanId = 7777;
const vxlanPort = 8472;
const nftTable = "tessera";
/** Each address takes an element in the packet rules. */
const largestPodCidr = 20;

/** The node as `ensureNode` found it in order. */
interface NodeState {
  readonly podCidr: Cidr;
  /** The bridge's address, the pods' gateway. */
  readonly gateway: string;
  readonly mtu: number;
}

/** `NodeNetwork` by rtnetlink and nf_tables, in the network namespace that the agent runs in. */
export class NativeNodeNetwork implements NodeNetwork {
  readonly #binding: Binding;
  readonly #runDir: string;
  /** By pod, a descriptor of its namespace: what holds it while no process is in it. */
  readonly #held = new Map<string, number>();
  readonly #pool: NetnsPool;
  readonly #hostPorts: HostPorts;
  /** What concerns the node as a whole happens one after the other. */
  readonly #changes = new Limiter(1);
  #node: NodeState | undefined;
  #peers: readonly PeerNode[] | undefined;

  constructor({ library, runDir, poolSize = 4 }: NativeNodeNetworkSettings) {
    this.#binding = library.binding;
    this.#runDir = runDir;
    this.#hostPorts = new HostPorts({ binding: library.binding, bridge });
    this.#pool = new NetnsPool({ binding: library.binding, size: poolSize });
  }

  ensureNode(spec: NodeNetworkSpec): Promise<void> {
    return this.#changes.run(async () => {
      const podCidr = parseCidr(spec.podCidr);
      const clusterCidr = parseCidr(spec.clusterCidr);
      parseAddress(spec.nodeAddress);
      if (podCidr.prefix > 30) throw invalid(`${spec.podCidr} has no room for pods`);
      if (podCidr.prefix < largestPodCidr) throw invalid(`${spec.podCidr} is larger than a node may have: /${largestPodCidr}`);
      if (podCidr.prefix < clusterCidr.prefix || !contains(clusterCidr, podCidr.network))
        throw invalid(`${spec.podCidr} is no part of ${spec.clusterCidr}`);

      const gateway = formatAddress(podCidr.network + 1);
      const mtu: [number] = [0];
      await this.#binding.networkEnsureNode(
        {
          bridge,
          bridge_address: gateway,
          vxlan,
          node_address: spec.nodeAddress,
          node_device: spec.nodeDevice,
          prefix: podCidr.prefix,
          vxlan_id: vxlanId,
          vxlan_port: vxlanPort,
        },
        mtu,
      );
      await this.#binding.nftRun(packetRules(clusterCidr, podCidr));
      await this.#hostPorts.restore();
      this.#node = { podCidr, gateway, mtu: mtu[0] };
      // A VXLAN device that was made anew has lost them.
      if (this.#peers) await this.#applyPeers(this.#node, this.#peers);
      await this.#dropOldHandles();
      await this.#pool.open({ bridge, mtu: mtu[0] });
    });
  }

  setPeers(peers: readonly PeerNode[]): Promise<void> {
    return this.#changes.run(async () => {
      await this.#applyPeers(this.#needNode("set peers"), peers);
      this.#peers = [...peers];
    });
  }

  async createPodNetns(spec: PodNetworkSpec): Promise<{ readonly path: string }> {
    const node = this.#needNode("create network namespace");
    checkId(spec.id);
    if (!contains(node.podCidr, parseAddress(spec.address)))
      throw invalid(`${spec.address} is not of this node's ${formatCidr(node.podCidr)}`);
    this.#letGo(spec.id);
    const prepared = await this.#pool.take({ bridge, mtu: node.mtu });
    const netns: [number] = [-1];
    const assignment = {
      link: prepared.link,
      id: spec.id,
      address: spec.address,
      gateway: node.gateway,
      control: prepared.control,
      has_host_ports: spec.hasHostPorts ? 1 : 0,
    };
    try {
      await this.#binding.netnsAssign(assignment, netns);
    } finally {
      // After a failure nothing else holds the namespace, and it ends.
      closeSync(prepared.control);
    }
    this.#held.set(spec.id, netns[0]);
    return { path: `/proc/${process.pid}/fd/${netns[0]}` };
  }

  async releaseNetns(id: string): Promise<void> {
    this.#letGo(id);
  }

  /** The node's ends of pod devices, with the pod each was made for; undefined for those of the pool. */
  async listPodLinks(): Promise<{ readonly link: string; readonly id: string | undefined }[]> {
    const lines = await readLines((out) => this.#binding.networkListPodLinks(out, out.length));
    return lines.map((line) => {
      const [link = "", id, address] = line.split(" ");
      return { link, id: address === undefined ? undefined : id };
    });
  }

  async openHostPorts(spec: HostPortsSpec): Promise<void> {
    this.#needNode("open host ports");
    checkId(spec.id);
    await this.#changes.run(() => this.#hostPorts.open(spec));
  }

  async closeHostPorts(id: string, address?: string): Promise<void> {
    await this.#changes.run(() => this.#hostPorts.close(id, address));
  }

  async listHostPorts(): Promise<HostPortsSpec[]> {
    return await this.#hostPorts.list();
  }

  removeNode(): Promise<void> {
    return this.#changes.run(async () => {
      this.#node = undefined;
      this.#peers = undefined;
      await this.#pool.close();
      await this.#hostPorts.removeAll();
      await this.#binding.networkRemoveNode(bridge, vxlan);
      await this.#binding.nftRun(
        ["ip", "bridge"].map((family) => `add table ${family} ${nftTable}\ndelete table ${family} ${nftTable}\n`).join(""),
      );
    });
  }

  async close(): Promise<void> {
    await this.#changes.run(async () => {
      this.#hostPorts.letGo();
      await this.#pool.close();
      for (const id of [...this.#held.keys()]) this.#letGo(id);
    });
  }

  async #applyPeers(node: NodeState, peers: readonly PeerNode[]): Promise<void> {
    const wanted = peers.map((peer) => {
      const cidr = parseCidr(peer.podCidr);
      return { network: cidr.network, prefix: cidr.prefix, node_address: parseAddress(peer.nodeAddress) };
    });
    const networks = new Set(wanted.map((peer) => peer.network));
    if (networks.size < wanted.length || networks.has(node.podCidr.network))
      throw invalid(`two nodes have the same pod addresses: ${peers.map((peer) => `${peer.nodeAddress} ${peer.podCidr}`).join(", ")}`);
    await this.#binding.networkSetPeers(vxlan, node.gateway, wanted, wanted.length);
  }

  #letGo(id: string): void {
    const netns = this.#held.get(id);
    if (netns === undefined) return;
    this.#held.delete(id);
    closeSync(netns);
  }

  /** Pods that run need none: their namespaces are held by what is in them. */
  async #dropOldHandles(): Promise<void> {
    for (const name of ["netns", "netns-pool"]) {
      const folder = join(this.#runDir, name);
      if (!existsSync(folder)) continue;
      await this.#binding.unmountBelow(folder);
      await rm(folder, { recursive: true });
    }
  }

  #needNode(step: string): NodeState {
    if (!this.#node) throw new RuntimeError("Internal", `${step}: the node's network is not set up`, { step });
    return this.#node;
  }
}

/**
 * What leaves the cluster has the node's address, and no pod sends with an address that is not its own: a pod's MAC, which the
 * bridge has checked, is derived from its address, so all right pairs are known beforehand. It sends to the bridge, or asks who that is,
 * and to nobody else. Pods have no IPv6.
 * One transaction: there is no moment without the rules.
 */
function packetRules(clusterCidr: Cidr, podCidr: Cidr): string {
  const cluster = formatCidr(clusterCidr);
  const pairs: string[] = [];
  for (let address = podCidr.network + 2; address < podCidr.network + 2 ** (32 - podCidr.prefix) - 1; address++)
    pairs.push(`${macOf(macUses.pod, address)} . ${formatAddress(address)}`);
  const bridgeMac = macOf(macUses.bridge, podCidr.network + 1);
  return `
    add table ip ${nftTable}
    delete table ip ${nftTable}
    table ip ${nftTable} {
      chain postrouting {
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr ${cluster} ip daddr != { ${cluster}, 224.0.0.0/4 } oifname != "${bridge}" masquerade fully-random
      }
    }
    add table bridge ${nftTable}
    delete table bridge ${nftTable}
    table bridge ${nftTable} {
      set senders {
        typeof ether saddr . ip saddr
        elements = { ${pairs.join(", ")} }
      }
      chain prerouting {
        type filter hook prerouting priority dstnat; policy accept;
        iifname "tsv*" jump pod
      }
      chain pod {
        ether daddr ${bridgeMac} ether type ip ether saddr . ip saddr @senders accept
        ether daddr { ${bridgeMac}, ff:ff:ff:ff:ff:ff } ether type arp arp saddr ether . arp saddr ip @senders accept
        drop
      }
    }
  `;
}

/** MAC_BRIDGE and MAC_POD of src/lib/node-network.h. */
const macUses = { bridge: 0x62, pod: 0x70 };

/** As `mac_of_address` of src/lib/link.c makes it. */
function macOf(use: number, address: number): string {
  return [0x0a, use, address >>> 24, (address >>> 16) & 255, (address >>> 8) & 255, address & 255]
    .map((byte) => byte.toString(16).padStart(2, "0"))
    .join(":");
}

function checkId(id: string): void {
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,90}$/.test(id)) throw invalid(`"${id}" is no id of a pod`);
}

function invalid(message: string): RuntimeError {
  return new RuntimeError("InvalidArgument", message, { step: "check network" });
}

import { mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import type { Binding } from "./binding.ts";
import { type Cidr, contains, formatAddress, formatCidr, parseAddress, parseCidr } from "./ipv4.ts";
import { Limiter } from "./limiter.ts";
import type { NativeLibrary } from "./native-library.ts";
import { readLines } from "./native-text.ts";
import { NetnsPool } from "./netns-pool.ts";
import type { NodeNetwork, NodeNetworkSpec, PeerNode, PodNetworkSpec } from "./node-network.ts";
import { RuntimeError } from "./runtime.ts";

export interface NativeNodeNetworkSettings {
  readonly library: NativeLibrary;
  /** Namespaces are held in "netns" and "netns-pool" below it. In the node's own mount namespace, or they end with the agent. */
  readonly runDir: string;
  /** How many namespaces are prepared ahead; 0: none; 4 when absent. */
  readonly poolSize?: number;
}

const bridge = "tessera0";
const vxlan = "tessera.vx";
const vxlanId = 7777;
const vxlanPort = 8472;
const nftTable = "tessera";

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
  readonly #folder: string;
  readonly #pool: NetnsPool;
  /** What concerns the node as a whole happens one after the other. */
  readonly #changes = new Limiter(1);
  #node: NodeState | undefined;
  #peers: readonly PeerNode[] | undefined;

  constructor({ library, runDir, poolSize = 4 }: NativeNodeNetworkSettings) {
    this.#binding = library.binding;
    this.#folder = join(runDir, "netns");
    this.#pool = new NetnsPool({ binding: library.binding, folder: join(runDir, "netns-pool"), size: poolSize });
  }

  ensureNode(spec: NodeNetworkSpec): Promise<void> {
    return this.#changes.run(async () => {
      const podCidr = parseCidr(spec.podCidr);
      const clusterCidr = parseCidr(spec.clusterCidr);
      parseAddress(spec.nodeAddress);
      if (podCidr.prefix > 30) throw invalid(`${spec.podCidr} has no room for pods`);
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
      await this.#binding.nftRun(masqueradeRules(formatCidr(clusterCidr)));
      await mkdir(this.#folder, { recursive: true, mode: 0o700 });
      this.#node = { podCidr, gateway, mtu: mtu[0] };
      // A VXLAN device that was made anew has lost them.
      if (this.#peers) await this.#applyPeers(this.#node, this.#peers);
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
    const path = this.#handleOf(spec.id);
    if (!contains(node.podCidr, parseAddress(spec.address)))
      throw invalid(`${spec.address} is not of this node's ${formatCidr(node.podCidr)}`);
    if (await this.#isReady(path, spec.address)) return { path };
    // Half made, or of an earlier pod with this id.
    await this.#binding.netnsRelease(path);
    const prepared = await this.#pool.take({ bridge, mtu: node.mtu });
    try {
      await this.#binding.netnsAssign({
        from: prepared.path,
        path,
        link: prepared.link,
        id: spec.id,
        address: spec.address,
        gateway: node.gateway,
      });
    } catch (error) {
      await this.#binding.netnsRelease(prepared.path);
      await this.#binding.netnsRelease(path);
      throw error;
    }
    return { path };
  }

  async releaseNetns(id: string): Promise<void> {
    await this.#binding.netnsRelease(this.#handleOf(id));
  }

  async listNetns(): Promise<string[]> {
    try {
      return await readdir(this.#folder);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
      throw error;
    }
  }

  /** The node's ends of pod devices, with the pod each was made for; undefined for those of the pool. */
  async listPodLinks(): Promise<{ readonly link: string; readonly id: string | undefined }[]> {
    const lines = await readLines((out) => this.#binding.networkListPodLinks(out, out.length));
    return lines.map((line) => {
      const [link = "", id = ""] = line.split(" ");
      return { link, id: id === "" || id === "tessera-pool" ? undefined : id };
    });
  }

  removeNode(): Promise<void> {
    return this.#changes.run(async () => {
      this.#node = undefined;
      this.#peers = undefined;
      await this.#pool.close();
      await this.#binding.networkRemoveNode(bridge, vxlan);
      await this.#binding.nftRun(`add table ip ${nftTable}\ndelete table ip ${nftTable}\n`);
    });
  }

  async close(): Promise<void> {
    await this.#changes.run(() => this.#pool.close());
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

  async #isReady(path: string, address: string): Promise<boolean> {
    const ready: [number] = [0];
    await this.#binding.netnsCheck(path, address, ready);
    return ready[0] === 1;
  }

  #handleOf(id: string): string {
    if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,90}$/.test(id)) throw invalid(`"${id}" is no id of a pod`);
    return join(this.#folder, id);
  }

  #needNode(step: string): NodeState {
    if (!this.#node) throw new RuntimeError("Internal", `${step}: the node's network is not set up`, { step });
    return this.#node;
  }
}

/** One transaction: there is no moment without the rule. */
function masqueradeRules(clusterCidr: string): string {
  return `
    add table ip ${nftTable}
    delete table ip ${nftTable}
    table ip ${nftTable} {
      chain postrouting {
        type nat hook postrouting priority srcnat; policy accept;
        ip saddr ${clusterCidr} ip daddr != { ${clusterCidr}, 224.0.0.0/4 } oifname != "${bridge}" masquerade fully-random
      }
    }
  `;
}

function invalid(message: string): RuntimeError {
  return new RuntimeError("InvalidArgument", message, { step: "check network" });
}

/** What an agent needs of the kernel's networking. Implemented by `NativeNodeNetwork` with rtnetlink and nf_tables. */
import { constants } from "node:os";
import { RuntimeError } from "./runtime.ts";

export interface NodeNetworkSpec {
  /** This node's pod addresses: "10.64.3.0/24". The first host address is the bridge's. */
  readonly podCidr: string;
  /** All pods of the cluster: "10.64.0.0/16". Traffic that leaves it is masqueraded. */
  readonly clusterCidr: string;
  /** This node's address, where VXLAN packets arrive. */
  readonly nodeAddress: string;
  /** Device that holds nodeAddress: found when empty. */
  readonly nodeDevice: string;
}

export interface PeerNode {
  readonly nodeAddress: string;
  readonly podCidr: string;
}

export interface PodNetworkSpec {
  /** The pod's uid. */
  readonly id: string;
  /** "10.64.3.7" */
  readonly address: string;
  /** Ports of the node will lead to it; false when absent. */
  readonly hasHostPorts?: boolean;
}

export type HostPortProtocol = "TCP" | "UDP" | "SCTP";

/** A port of the node. */
export interface HostPort {
  readonly protocol: HostPortProtocol;
  /** The node's address that has it; "0.0.0.0": all that the node has. */
  readonly address: string;
  readonly port: number;
}

/** A port of the node that leads to a port of a pod. */
export interface PodHostPort extends HostPort {
  readonly podPort: number;
}

export interface HostPortsSpec {
  /** The pod's uid. */
  readonly id: string;
  /** The pod's address. */
  readonly address: string;
  readonly ports: readonly PodHostPort[];
}

/** Somebody has the port already. */
export class HostPortTaken extends RuntimeError {
  readonly port: HostPort;
  /** The id of the pod that has it; undefined when it is none. */
  readonly holder: string | undefined;
  constructor(port: HostPort, holder: string | undefined) {
    const by = holder === undefined ? "" : ` by pod ${holder}`;
    super("AlreadyExists", `${formatHostPort(port)} of the node is taken${by}`, {
      step: "open host port",
      errno: constants.errno.EADDRINUSE,
    });
    this.port = port;
    this.holder = holder;
  }
}

/** "port 8080/TCP", "port 8080/TCP at 192.0.2.1". */
export function formatHostPort({ protocol, address, port }: HostPort): string {
  return `port ${port}/${protocol}${address === ANY_ADDRESS ? "" : ` at ${address}`}`;
}

/** Every address that the node has. */
export const ANY_ADDRESS = "0.0.0.0";

export interface NodeNetwork {
  /** Bridge, VXLAN device, forwarding, masquerade rules: made, or mended when they differ. Idempotent. */
  ensureNode(spec: NodeNetworkSpec): Promise<void>;
  /** Routes, neighbours and forwarding entries for exactly these peers. Idempotent. */
  setPeers(peers: readonly PeerNode[]): Promise<void>;
  /**
   * A network namespace with lo and eth0 up, the address, a default route over the bridge; returns the path by which it is entered. This
   * process holds it until `releaseNetns`, or until it ends itself: then only what runs in the namespace keeps it. May come from a pool of
   * prepared ones. An earlier one of the pod is let go.
   */
  createPodNetns(spec: PodNetworkSpec): Promise<{ readonly path: string }>;
  /** Lets it go: the namespace (and its veth) lives as long as processes are in it. Right when it never existed. */
  releaseNetns(id: string): Promise<void>;
  /**
   * Leads what comes to these ports of the node, and no others, to the pod, and keeps the ports from everybody else on the node for as long
   * as this process lives. Throws HostPortTaken; then what was open stays open. Idempotent: to be called again by the next process.
   */
  openHostPorts(spec: HostPortsSpec): Promise<void>;
  /**
   * Gives the pod's ports back; connections through them end. Right when there are none. `address`: the pod's, for connections that an
   * earlier call which was cut short did not come to.
   */
  closeHostPorts(id: string, address?: string): Promise<void>;
  /** All that lead somewhere, as the kernel has them. */
  listHostPorts(): Promise<HostPortsSpec[]>;
  /** Takes the node's bridge, VXLAN device and rules away. */
  removeNode(): Promise<void>;
  close(): Promise<void>;
}

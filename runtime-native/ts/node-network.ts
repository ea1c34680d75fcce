/** What an agent needs of the kernel's networking. Implemented by `NativeNodeNetwork` with rtnetlink and nf_tables. */

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
}

export interface NodeNetwork {
  /** Bridge, VXLAN device, forwarding, masquerade rules: made, or mended when they differ. Idempotent. */
  ensureNode(spec: NodeNetworkSpec): Promise<void>;
  /** Routes, neighbours and forwarding entries for exactly these peers. Idempotent. */
  setPeers(peers: readonly PeerNode[]): Promise<void>;
  /**
   * A network namespace with lo and eth0 up, the address, a default route over the bridge; returns the path it is
   * held by until `releaseNetns`. May come from a pool of prepared ones.
   */
  createPodNetns(spec: PodNetworkSpec): Promise<{ readonly path: string }>;
  /** Drops the handle; the namespace (and its veth) lives as long as processes are in it. Right when it never existed. */
  releaseNetns(id: string): Promise<void>;
  /** The ids whose handles still exist, for clean-up after a crash. */
  listNetns(): Promise<string[]>;
  /** Takes the node's bridge, VXLAN device and rules away. */
  removeNode(): Promise<void>;
  close(): Promise<void>;
}

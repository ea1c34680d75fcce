import { TesseraError } from "@tessera/proto";
import {
  formatHostPort,
  type HostPort,
  type HostPortsSpec,
  HostPortTaken,
  type NodeNetwork,
  type NodeNetworkSpec,
  type PeerNode,
  type PodNetworkSpec,
} from "@tessera/runtime-native";
import type { Logger } from "pino";
import type { Clock } from "../clock.ts";
import { retryDelayMs } from "../pod/backoff.ts";
import { findPortHolder } from "./port-holder.ts";

export interface PodNetworksDependencies {
  readonly network: NodeNetwork;
  readonly clock: Clock;
  readonly log: Logger;
  /** The node's network became ready, or ceased to be. */
  readonly onChange: () => void;
  /** Ports of the node may be had again. */
  readonly onPortsClosed: () => void;
  /** A pod's namespace and name, by its uid. */
  readonly podName: (uid: string) => string | undefined;
}

const FIRST_RETRY_MS = 500;
const LONGEST_RETRY_MS = 30_000;

/**
 * Brings the node's network to what is wanted of it (bridge, tunnels to the peers), one change at a time, trying again when it fails; and
 * hands out pod networks once it is there.
 */
export class PodNetworks
  implements Pick<NodeNetwork, "createPodNetns" | "releaseNetns" | "openHostPorts" | "closeHostPorts" | "listHostPorts">
{
  readonly #deps: PodNetworksDependencies;
  #wanted: NodeNetworkSpec | undefined;
  #wantedPeers: readonly PeerNode[] = [];
  #applied: NodeNetworkSpec | undefined;
  #appliedPeers: readonly PeerNode[] | undefined;
  #failure: string | undefined = "the control plane has not given this node a range of addresses yet";
  #failures = 0;
  #applying: Promise<void> | undefined;
  #cancelRetry: (() => void) | undefined;
  #stopped = false;

  constructor(deps: PodNetworksDependencies) {
    this.#deps = deps;
  }

  /** Why the node's network is not ready; undefined when it is. */
  get failure(): string | undefined {
    return this.#failure;
  }

  configure(spec: NodeNetworkSpec): void {
    if (sameSpec(spec, this.#wanted) && this.#failures === 0) return;
    this.#wanted = spec;
    this.#apply();
  }

  setPeers(peers: readonly PeerNode[]): void {
    this.#wantedPeers = peers;
    this.#apply();
  }

  async createPodNetns(spec: PodNetworkSpec): Promise<{ path: string }> {
    await this.#beReady();
    return await this.#deps.network.createPodNetns(spec);
  }

  /** Throws TesseraError "Conflict" that names who has a port. */
  async openHostPorts(spec: HostPortsSpec): Promise<void> {
    await this.#beReady();
    try {
      await this.#deps.network.openHostPorts(spec);
    } catch (error) {
      if (!(error instanceof HostPortTaken)) throw error;
      const holder = error.holder === undefined ? await this.#describeHolder(error.port) : this.#describePod(error.holder);
      throw new TesseraError("Conflict", `${formatHostPort(error.port)} of the node is taken by ${holder}`, { cause: error });
    }
  }

  async closeHostPorts(id: string, address?: string): Promise<void> {
    await this.#deps.network.closeHostPorts(id, address);
    this.#deps.onPortsClosed();
  }

  listHostPorts(): Promise<HostPortsSpec[]> {
    return this.#deps.network.listHostPorts();
  }

  releaseNetns(id: string): Promise<void> {
    return this.#deps.network.releaseNetns(id);
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#cancelRetry?.();
    await this.#applying;
  }

  async #beReady(): Promise<void> {
    if (this.#applied === undefined) await this.#applying;
    if (this.#applied === undefined) throw new TesseraError("ServiceUnavailable", `the node's network is not ready: ${this.#failure}`);
  }

  #describePod(uid: string): string {
    const name = this.#deps.podName(uid);
    return name === undefined ? `a pod with uid ${uid}` : `pod "${name}"`;
  }

  async #describeHolder(port: HostPort): Promise<string> {
    const holder = await findPortHolder(port);
    if (holder === undefined) return "something on the node";
    const pod = holder.podUids.map(this.#deps.podName).find((name) => name !== undefined);
    return `process ${holder.pid} (${holder.command}) ${pod === undefined ? "on the node" : `of pod "${pod}"`}`;
  }

  /** Works until what is applied is what is wanted; a change meanwhile makes another round. */
  #apply(): void {
    if (this.#applying !== undefined || this.#wanted === undefined || this.#stopped) return;
    this.#cancelRetry?.();
    this.#applying = this.#applyOnce()
      .then(
        () => {
          this.#failures = 0;
          return true;
        },
        (error: unknown) => {
          this.#fail(error);
          return false;
        },
      )
      .then((succeeded) => {
        this.#applying = undefined;
        if (succeeded && !this.#isUpToDate()) this.#apply();
      });
  }

  #isUpToDate(): boolean {
    return this.#applied === this.#wanted && this.#appliedPeers === this.#wantedPeers;
  }

  async #applyOnce(): Promise<void> {
    const { network, onChange } = this.#deps;
    const [spec, peers] = [this.#wanted, this.#wantedPeers];
    if (spec === undefined) return;
    if (this.#applied !== spec) {
      await network.ensureNode(spec);
      this.#applied = spec;
      this.#appliedPeers = undefined;
      this.#failure = undefined;
      onChange();
    }
    if (this.#appliedPeers !== peers) {
      await network.setPeers(peers);
      this.#appliedPeers = peers;
    }
  }

  #fail(error: unknown): void {
    const { clock, log, onChange } = this.#deps;
    this.#failures += 1;
    log.error({ err: error, failures: this.#failures }, "could not set the node's network up");
    const message = error instanceof Error ? error.message : String(error);
    if (this.#failure !== message) {
      this.#failure = message;
      onChange();
    }
    const atMs = clock.now() + retryDelayMs(this.#failures, FIRST_RETRY_MS, LONGEST_RETRY_MS);
    this.#cancelRetry = clock.wakeAt(atMs, () => this.#apply());
  }
}

function sameSpec(a: NodeNetworkSpec, b: NodeNetworkSpec | undefined): boolean {
  return (
    b !== undefined &&
    a.podCidr === b.podCidr &&
    a.clusterCidr === b.clusterCidr &&
    a.nodeAddress === b.nodeAddress &&
    a.nodeDevice === b.nodeDevice
  );
}

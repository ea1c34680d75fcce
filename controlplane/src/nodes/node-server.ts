import type { OpenStream } from "@tessera/proto/node";
import type { Logger } from "pino";
import type { Clock } from "../controllers/clock.ts";
import type { ControlLoop } from "../controllers/control-loop.ts";
import type { EventSink } from "../events/events.ts";
import type { Registry } from "../registry/resource.ts";
import type { Store } from "../store/store.ts";
import type { NodeStream, NodeStreams } from "./node-streams.ts";

export interface NodeServerSettings {
  /** HOST:PORT to listen on; port 0 takes a free one. */
  readonly listen: readonly string[];
  /** Addresses of all pods of the cluster: "10.64.0.0/16". */
  readonly clusterCidr: string;
  /** Prefix length of each node's share: 24. */
  readonly nodeCidrBits: number;
  /** How long a node may be without a session before it counts as lost. Default 10,000. */
  readonly sessionGraceMs?: number;
  /** How long an agent may take to open a stream that it was asked for. Default 10,000. */
  readonly streamTimeoutMs?: number;
}

export interface NodeServerDependencies {
  readonly registry: Registry;
  readonly store: Store;
  readonly events: EventSink;
  readonly log: Logger;
  readonly clock: Clock;
  readonly settings: NodeServerSettings;
  /** PEM. `ca` signs the certificates of nodes; `cert` and `key` are this server's own, with the names that agents dial. */
  readonly tls: { readonly ca: string | Buffer; readonly cert: string | Buffer; readonly key: string | Buffer };
}

/** The sessions of all agents: a gRPC server with mutual TLS. */
export class NodeServer implements ControlLoop, NodeStreams {
  readonly name = "nodes";
  readonly #deps: NodeServerDependencies;
  constructor(deps: NodeServerDependencies) {
    this.#deps = deps;
  }

  /** HOST:PORT of each listener, with the real ports; known once `ready` was called. */
  get addresses(): readonly string[] {
    return this.#deps.settings.listen;
  }

  async run(_signal: AbortSignal, ready?: () => void): Promise<void> {
    ready?.();
  }

  async open(_nodeName: string, _request: NonNullable<OpenStream["request"]>, _signal: AbortSignal): Promise<NodeStream> {
    throw new Error("node sessions are being built");
  }
}

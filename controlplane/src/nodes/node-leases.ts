import type { Lease } from "@tessera/proto";
import type { Logger } from "pino";
import { type Clock, toMicroTime } from "../controllers/clock.ts";
import { unless } from "../controllers/expected-errors.ts";
import { WorkQueue } from "../controllers/work-queue.ts";
import type { Registry } from "../registry/resource.ts";

export const NODE_LEASE_NAMESPACE = "kube-node-lease";
const RENEW_MS = 10_000;
const LEASE_SECONDS = 40;

export interface NodeLeasesDependencies {
  readonly registry: Pick<Registry, "leases" | "nodes">;
  readonly log: Logger;
  readonly clock: Clock;
  readonly hasSession: (node: string) => boolean;
}

/**
 * A Lease per node, renewed for as long as the node has a session: other programs, kubectl describe node among them, read the node's sign of life there.
 * A lease without a Node is removed.
 */
export class NodeLeases {
  readonly #deps: NodeLeasesDependencies;
  readonly #queue: WorkQueue;
  constructor(deps: NodeLeasesDependencies) {
    this.#deps = deps;
    this.#queue = new WorkQueue({
      name: "node-leases",
      clock: deps.clock,
      log: deps.log,
      concurrency: 64,
      reconcile: (node) => this.#reconcile(node),
    });
  }

  /** The node's session began, or its Node object went. */
  look(node: string): void {
    this.#queue.add(node);
  }

  run(signal: AbortSignal): Promise<void> {
    return this.#queue.run(signal);
  }

  async #reconcile(name: string): Promise<number | undefined> {
    const { registry, hasSession } = this.#deps;
    const node = registry.nodes.cache.get("", name);
    const lease = registry.leases.cache.get(NODE_LEASE_NAMESPACE, name);
    if (!node) {
      if (lease) await unless(["NotFound"], registry.leases.remove(NODE_LEASE_NAMESPACE, name, { uid: lease.uid }));
      return undefined;
    }
    if (!hasSession(name)) return undefined;
    const owner = { apiVersion: "v1", kind: "Node", name, uid: node.uid };
    const spec = { holderIdentity: name, leaseDurationSeconds: LEASE_SECONDS, renewTime: toMicroTime(this.#deps.clock.now()) };
    if (lease) {
      await registry.leases.mutate(NODE_LEASE_NAMESPACE, name, (current): Lease => {
        return { ...current, metadata: { ...current.metadata, ownerReferences: [owner] }, spec: { ...current.spec, ...spec } };
      });
    } else {
      const metadata = { name, namespace: NODE_LEASE_NAMESPACE, ownerReferences: [owner] };
      // AlreadyExists: the cache is behind our own write of a moment ago.
      await unless(["AlreadyExists"], registry.leases.create({ apiVersion: "coordination.k8s.io/v1", kind: "Lease", metadata, spec }));
    }
    return RENEW_MS;
  }
}

import { type Node, type Pod, TesseraError } from "@tessera/proto";
import type { Logger } from "pino";
import { type Clock, toTime } from "../controllers/clock.ts";
import { WorkQueue } from "../controllers/work-queue.ts";
import type { EventSink } from "../events/events.ts";
import type { Registry } from "../registry/resource.ts";
import { readyStatus, withSilentAgent } from "./node-status.ts";
import type { PodIndex } from "./pod-index.ts";
import { withUnreachableNode } from "./pod-status.ts";

export interface NodeHealthDependencies {
  readonly registry: Pick<Registry, "nodes" | "pods">;
  readonly pods: PodIndex;
  readonly events: EventSink;
  readonly log: Logger;
  readonly clock: Clock;
  readonly hasSession: (node: string) => boolean;
  /** How long a node may be without a session before it counts as lost. */
  readonly graceMs: number;
}

/**
 * Notices nodes that nobody hears of. A node's sign of life is its session; one that has had none for the grace gets condition Ready=Unknown and the
 * taints that keep pods away. The session that comes back takes both away again by registering.
 */
export class NodeHealth {
  readonly #deps: NodeHealthDependencies;
  readonly #queue: WorkQueue;
  /** Since when nodes without a session are without one. */
  readonly #silentSince = new Map<string, number>();
  constructor(deps: NodeHealthDependencies) {
    this.#deps = deps;
    this.#queue = new WorkQueue({ name: "node-health", clock: deps.clock, log: deps.log, reconcile: (node) => this.#reconcile(node) });
  }

  /** A session began or ended, a Node came or went. */
  look(node: string): void {
    this.#queue.add(node);
  }

  /** How much longer a node without a session is taken for one that comes back; 0 when it is lost, or when there is no such node. */
  graceLeftMs(name: string): number {
    const { registry, clock, graceMs } = this.#deps;
    const node = registry.nodes.cache.get("", name);
    if (!node || readyStatus(node.value) === "Unknown") return 0;
    const now = clock.now();
    return Math.max(0, (this.#silentSince.get(name) ?? now) + graceMs - now);
  }

  run(signal: AbortSignal): Promise<void> {
    return this.#queue.run(signal);
  }

  async #reconcile(name: string): Promise<number | undefined> {
    const { registry, hasSession, clock, graceMs } = this.#deps;
    if (hasSession(name) || !registry.nodes.cache.get("", name)) {
      this.#silentSince.delete(name);
      return undefined;
    }
    const since = this.#silentSince.get(name) ?? clock.now();
    this.#silentSince.set(name, since);
    const graceLeft = since + graceMs - clock.now();
    if (graceLeft > 0) return graceLeft;
    await this.#markLost(name, since);
    return undefined;
  }

  async #markLost(name: string, sinceMs: number): Promise<void> {
    const { registry, clock, events, log } = this.#deps;
    let wasKnown = false;
    let marked: Node;
    try {
      marked = await registry.nodes.mutate("", name, (node) => {
        // A session that began meanwhile has registered or will; whichever write comes first, the other is decided again.
        if (this.#deps.hasSession(name)) return undefined;
        const next = withSilentAgent(node, sinceMs, clock.now());
        wasKnown = next !== node && readyStatus(node) !== "Unknown";
        return next === node ? undefined : next;
      });
    } catch (error) {
      if (error instanceof TesseraError && error.reason === "NotFound") return;
      throw error;
    }
    if (this.#deps.hasSession(name)) return;
    if (wasKnown) {
      log.warn({ node: name, silentSince: toTime(sinceMs) }, "node is lost: its agent has no session");
      events.record({
        involved: { kind: "Node", apiVersion: "v1", namespace: "", name, uid: marked.metadata?.uid ?? "" },
        type: "Normal",
        reason: "NodeNotReady",
        message: `Node ${name} status is now: NodeNotReady`,
        source: { component: "tessera-controlplane" },
        timeMs: clock.now(),
      });
    }
    await Promise.all([...this.#deps.pods.podsOf(name).values()].map((pod) => this.#markPodNotReady(name, pod.object)));
  }

  async #markPodNotReady(node: string, pod: { namespace: string; name: string; uid: string; value: Pod }): Promise<void> {
    const { registry, events, clock } = this.#deps;
    const message = `Node ${node} is not ready`;
    const change = (current: Pod) => withUnreachableNode(current, message, toTime(clock.now()));
    if (change(pod.value) === pod.value) return;
    try {
      await registry.pods.mutate(
        pod.namespace,
        pod.name,
        (current) => {
          const next = this.#deps.hasSession(node) ? current : change(current);
          return next === current ? undefined : next;
        },
        { uid: pod.uid },
      );
    } catch (error) {
      if (error instanceof TesseraError && error.reason === "NotFound") return;
      throw error;
    }
    events.record({
      involved: { kind: "Pod", apiVersion: "v1", namespace: pod.namespace, name: pod.name, uid: pod.uid },
      type: "Warning",
      reason: "NodeNotReady",
      message,
      source: { component: "tessera-controlplane" },
      timeMs: clock.now(),
    });
  }
}

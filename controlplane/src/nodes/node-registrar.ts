import { type Node, type NodeStatus, TesseraError } from "@tessera/proto";
import type { Hello } from "@tessera/proto/node";
import type { Logger } from "pino";
import type { Clock } from "../controllers/clock.ts";
import type { EventSink } from "../events/events.ts";
import type { Registry } from "../registry/resource.ts";
import { allowedLabels, readyStatus, withRegistration, withReport } from "./node-status.ts";
import type { PodCidrs } from "./pod-cidrs.ts";
import { decodeNodeStatus } from "./reported-status.ts";

export interface NodeRegistrarDependencies {
  readonly nodes: Registry["nodes"];
  readonly podCidrs: PodCidrs;
  readonly events: EventSink;
  readonly log: Logger;
  readonly clock: Clock;
}

/** Writes what agents say of their nodes into the Node objects. */
export class NodeRegistrar {
  readonly #deps: NodeRegistrarDependencies;
  /** Per node the newest report that waits while another is being written. */
  readonly #waiting = new Map<string, NodeStatus>();
  readonly #writing = new Map<string, Promise<void>>();
  constructor(deps: NodeRegistrarDependencies) {
    this.#deps = deps;
  }

  /** The Node of an agent that says Hello: made or brought up to date, with addresses for its pods. */
  async register(hello: Hello): Promise<Node> {
    const { nodes, podCidrs, clock } = this.#deps;
    const name = hello.nodeName;
    const status = this.#decode(name, hello.nodeStatus);
    const { allowed: labels, refused } = allowedLabels(hello.labels);
    if (refused.length > 0) this.#deps.log.warn({ node: name, labels: refused }, "an agent may not give itself these labels");
    for (;;) {
      const podCidr = await podCidrs.claim(name, nodes.cache.get("", name)?.value.spec?.podCIDR);
      const register = (node: Node | undefined) => withRegistration(node, { name, labels, status, podCidr }, clock.now());
      try {
        if (nodes.cache.get("", name)) return await this.#change(name, register);
        const created = await nodes.create(register(undefined));
        this.#record(created, "RegisteredNode", `Node ${name} event: Registered Node ${name}`);
        this.#tellReadiness(undefined, created);
        return created;
      } catch (error) {
        if (!(error instanceof TesseraError)) throw error;
        // The cache was behind: the Node has come or gone meanwhile.
        if (error.reason === "AlreadyExists") return await this.#change(name, register);
        if (error.reason !== "NotFound" || nodes.cache.get("", name)) throw error;
      }
    }
  }

  /** A later report. Only the newest of those that wait is written. */
  report(name: string, bytes: Uint8Array): void {
    this.#waiting.set(name, this.#decode(name, bytes));
    if (this.#writing.has(name)) return;
    const writing = this.#writeReports(name).finally(() => this.#writing.delete(name));
    this.#writing.set(name, writing);
  }

  /** Resolves when no report is being written. */
  async drain(): Promise<void> {
    this.#waiting.clear();
    await Promise.all(this.#writing.values());
  }

  async #writeReports(name: string): Promise<void> {
    for (let status = this.#waiting.get(name); status; status = this.#waiting.get(name)) {
      const report = status;
      this.#waiting.delete(name);
      try {
        await this.#change(name, (node) => withReport(node, report, this.#deps.clock.now()));
      } catch (error) {
        // The next report says it again.
        this.#deps.log.warn({ err: error, node: name }, "the status of a node is not written");
      }
    }
  }

  async #change(name: string, change: (node: Node) => Node): Promise<Node> {
    let before: Node | undefined;
    const after = await this.#deps.nodes.mutate("", name, (node) => {
      before = node;
      const next = change(node);
      return next === node ? undefined : next;
    });
    this.#tellReadiness(before, after);
    return after;
  }

  #tellReadiness(before: Node | undefined, after: Node): void {
    const name = after.metadata?.name ?? "";
    const was = before && readyStatus(before);
    const is = readyStatus(after);
    if (is === "True" && was !== "True") this.#record(after, "NodeReady", `Node ${name} status is now: NodeReady`);
    if (is === "False" && was === "True") this.#record(after, "NodeNotReady", `Node ${name} status is now: NodeNotReady`);
  }

  #decode(name: string, bytes: Uint8Array): NodeStatus {
    const { status, faults } = decodeNodeStatus(bytes);
    if (faults.length > 0) this.#deps.log.warn({ node: name, faults }, "faults in the status of a node are left out");
    return status;
  }

  #record(node: Node, reason: string, message: string): void {
    this.#deps.events.record({
      involved: { kind: "Node", apiVersion: "v1", namespace: "", name: node.metadata?.name ?? "", uid: node.metadata?.uid ?? "" },
      type: "Normal",
      reason,
      message,
      source: { component: "tessera-controlplane" },
      timeMs: this.#deps.clock.now(),
    });
  }
}

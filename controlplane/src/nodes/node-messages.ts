import { type Pod, TesseraError } from "@tessera/proto";
import type { EventReport, NodeMessage } from "@tessera/proto/node";
import type { Logger } from "pino";
import type { Clock } from "../controllers/clock.ts";
import type { EventSink } from "../events/events.ts";
import type { ResourceCache } from "../store/cache.ts";
import type { UsageSink } from "../usage/usage.ts";
import type { NodeRegistrar } from "./node-registrar.ts";
import type { PodIndex } from "./pod-index.ts";
import type { PodReports, ReportedPod } from "./pod-reports.ts";
import { decodePodStatus } from "./reported-status.ts";
import type { StreamBroker } from "./stream-broker.ts";

export interface NodeMessagesDependencies {
  readonly pods: PodIndex;
  readonly podCache: ResourceCache<Pod>;
  readonly reports: PodReports;
  readonly registrar: NodeRegistrar;
  readonly streams: StreamBroker;
  readonly events: EventSink;
  readonly usage: UsageSink;
  readonly log: Logger;
  readonly clock: Clock;
}

/**
 * What agents say within their sessions. An agent speaks for its own node and the pods bound to it, and for nothing else: whatever it says about
 * others is dropped here, before anything is read or written.
 */
export class NodeMessages {
  readonly #deps: NodeMessagesDependencies;
  constructor(deps: NodeMessagesDependencies) {
    this.#deps = deps;
  }

  /** `message` came over the session of `node`. Throws TesseraError "BadRequest" for what ends the session. */
  handle(node: string, { message }: NodeMessage): void {
    switch (message?.$case) {
      case "podStatus":
        if (this.#owns(node, message.value, "status")) this.#podStatus(node, message.value, message.value.status);
        return;
      case "podGone":
        if (this.#owns(node, message.value, "end")) this.#deps.reports.gone(node, message.value);
        return;
      case "nodeStatus":
        this.#deps.registrar.report(node, message.value.status);
        return;
      case "event":
        this.#event(node, message.value);
        return;
      case "streamRefused":
        this.#deps.streams.refuse(node, message.value);
        return;
      case "usage":
        this.#deps.usage.report(node, message.value);
        return;
      case "hello":
        throw new TesseraError("BadRequest", "Hello may be said once, as the first message");
      default:
        // From a newer agent: what is not understood is not needed.
        this.#deps.log.warn({ node }, "a message of an unknown kind is ignored");
    }
  }

  #podStatus(node: string, { uid, namespace, name }: ReportedPod, bytes: Uint8Array): void {
    const { status, faults } = decodePodStatus(bytes);
    if (faults.length > 0) this.#deps.log.warn({ node, namespace, name, faults }, "faults in the status of a pod are left out");
    this.#deps.reports.status(node, { uid, namespace, name }, status);
  }

  #owns(node: string, pod: ReportedPod, what: string): boolean {
    const bound = this.#deps.pods.get(node, pod.uid);
    if (bound?.object.namespace === pod.namespace && bound.object.name === pod.name) return true;
    // Reports about pods that went a moment ago are common; about somebody else's they are not.
    const isForeign = this.#deps.podCache.get(pod.namespace, pod.name)?.uid === pod.uid;
    const level = isForeign ? "warn" : "debug";
    this.#deps.log[level](
      { node, uid: pod.uid, pod: `${pod.namespace}/${pod.name}` },
      `the ${what} of a pod that is not bound to the node is dropped`,
    );
    return false;
  }

  #event(node: string, event: EventReport): void {
    const isOwn =
      event.kind === "Node"
        ? event.name === node && event.namespace === ""
        : event.kind === "Pod" && this.#deps.pods.knows(node, event.uid);
    if (!isOwn) {
      this.#deps.log.warn(
        { node, kind: event.kind, uid: event.uid, reason: event.reason },
        "an event about somebody else's object is dropped",
      );
      return;
    }
    const reportedMs = Date.parse(event.time);
    this.#deps.events.record({
      involved: {
        kind: event.kind,
        apiVersion: "v1",
        namespace: event.namespace,
        name: event.name,
        uid: event.uid,
        ...(event.fieldPath ? { fieldPath: event.fieldPath } : {}),
      },
      type: event.type === "Warning" ? "Warning" : "Normal",
      reason: event.reason,
      message: event.message,
      source: { component: "tessera-agent", host: node },
      timeMs: Number.isNaN(reportedMs) ? this.#deps.clock.now() : reportedMs,
    });
  }
}

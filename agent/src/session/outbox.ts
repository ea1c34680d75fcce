import type { PodStatus } from "@tessera/proto";
import type { EventReport, NodeMessage, RefreshToken, UsageReport } from "@tessera/proto/node";
import { keepNewest } from "./bounded.ts";

/** What names a pod in messages. */
export interface PodName {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
}

/** More Events than this are not kept while there is no control plane; the oldest go first. */
const MAX_EVENTS = 2000;

/**
 * What the agent has to say, until a session has carried it. Of each pod only the newest status is kept, so a slow or absent control plane
 * costs no more memory than there are pods.
 */
export class Outbox {
  readonly #statuses = new Map<string, { pod: PodName; status: PodStatus }>();
  /** Uids whose status or end the present session has not carried yet, in the order in which they came up. */
  readonly #pending = new Set<string>();
  readonly #gone = new Map<string, PodName>();
  #nodeStatus: Buffer | undefined;
  #events: EventReport[] = [];
  #refusals: NodeMessage[] = [];
  readonly #tokens = new Map<string, RefreshToken>();
  #usage: UsageReport | undefined;
  #dropped = 0;
  #listener: (() => void) | undefined;

  /** Called when there is something to carry. One listener: the session. */
  onFilled(listener: (() => void) | undefined): void {
    this.#listener = listener;
  }

  status(pod: PodName, status: PodStatus): void {
    this.#statuses.set(pod.uid, { pod, status });
    this.#pending.add(pod.uid);
    this.#listener?.();
  }

  gone(pod: PodName): void {
    this.#gone.set(pod.uid, pod);
    this.#pending.add(pod.uid);
    this.#listener?.();
  }

  event(event: EventReport): void {
    this.#events.push(event);
    const { kept, dropped } = keepNewest(this.#events, MAX_EVENTS);
    this.#events = kept;
    this.#dropped += dropped;
    this.#listener?.();
  }

  nodeStatus(status: Buffer): void {
    this.#nodeStatus = status;
    this.#listener?.();
  }

  /** Replaces a report that was not carried yet. */
  usage(report: UsageReport): void {
    this.#usage = report;
    this.#listener?.();
  }

  refuse(streamId: string, reason: string, message: string): void {
    this.#refusals.push({ message: { $case: "streamRefused", value: { streamId, reason, message } } });
    this.#listener?.();
  }

  /** Asks for another token. */
  refreshToken(token: RefreshToken): void {
    this.#tokens.set(`${token.namespace}/${token.name}`, token);
    this.#listener?.();
  }

  /**
   * A new session has heard nothing yet: every status is said again. Refusals were answers to the session before, and what was used then is
   * of no interest now.
   */
  restart(): void {
    for (const uid of this.#statuses.keys()) this.#pending.add(uid);
    this.#refusals = [];
    // Each session brings all tokens by itself.
    this.#tokens.clear();
    this.#usage = undefined;
  }

  /** How many Events were dropped since this was last asked. */
  takeDropped(): number {
    const dropped = this.#dropped;
    this.#dropped = 0;
    return dropped;
  }

  /** The next message, and forgets it. A pod's last status goes before the word that it is gone. */
  take(): NodeMessage | undefined {
    const refusal = this.#refusals.shift();
    if (refusal !== undefined) return refusal;
    const ofPod = this.#takePod();
    if (ofPod !== undefined) return ofPod;
    if (this.#nodeStatus !== undefined) {
      const status = this.#nodeStatus;
      this.#nodeStatus = undefined;
      return { message: { $case: "nodeStatus", value: { status } } };
    }
    for (const [key, value] of this.#tokens) {
      this.#tokens.delete(key);
      return { message: { $case: "refreshToken", value } };
    }
    const event = this.#events.shift();
    if (event !== undefined) return { message: { $case: "event", value: event } };
    const usage = this.#usage;
    this.#usage = undefined;
    return usage && { message: { $case: "usage", value: usage } };
  }

  #takePod(): NodeMessage | undefined {
    for (const uid of this.#pending) {
      const reported = this.#statuses.get(uid);
      const gone = this.#gone.get(uid);
      if (gone === undefined) {
        this.#pending.delete(uid);
        if (reported !== undefined) return statusMessage(reported);
      } else if (reported !== undefined) {
        // The end stays pending behind the status.
        this.#statuses.delete(uid);
        return statusMessage(reported);
      } else {
        this.#pending.delete(uid);
        this.#gone.delete(uid);
        return { message: { $case: "podGone", value: { ...gone } } };
      }
    }
    return undefined;
  }
}

function statusMessage({ pod, status }: { pod: PodName; status: PodStatus }): NodeMessage {
  const { uid, namespace, name } = pod;
  return { message: { $case: "podStatus", value: { uid, namespace, name, status: Buffer.from(JSON.stringify(status)) } } };
}

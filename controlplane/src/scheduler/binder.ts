import { type Pod, type StatusReason, TesseraError } from "@tessera/proto";
import type { Logger } from "pino";
import type { Clock } from "../controllers/clock.ts";
import { Limiter } from "../controllers/limiter.ts";
import type { EventSink } from "../events/events.ts";
import type { Registry } from "../registry/resource.ts";
import { withPodCondition } from "./pod-conditions.ts";
import type { PendingPod } from "./queue.ts";

/** Writers that wait together are committed together, so many bindings under way cost little more than one. */
const BINDS_AT_ONCE = 512;
const REFUSALS_AT_ONCE = 32;
const FIRST_DELAY_MS = 100;
const LONGEST_DELAY_MS = 5_000;

/** Errors after which it is certain that the pod was not bound and will not be by trying the same again. */
const FINAL: ReadonlySet<StatusReason> = new Set(["Conflict", "NotFound", "Gone", "Invalid", "Forbidden", "BadRequest"]);

export interface BinderDependencies {
  readonly pods: Pick<Registry["pods"], "mutate">;
  readonly events: EventSink;
  readonly log: Logger;
  readonly clock: Clock;
}

/** Writes down what the scheduler decided. */
export class Binder {
  readonly #deps: BinderDependencies;
  readonly #binds = new Limiter(BINDS_AT_ONCE);
  readonly #refusals = new Limiter(REFUSALS_AT_ONCE);
  /** Wakes bindings that wait to be tried again. */
  readonly #pauses = new Set<() => void>();
  #closed = false;
  constructor(deps: BinderDependencies) {
    this.#deps = deps;
  }

  /**
   * Binds the pod. While nobody can know whether a write happened it is tried again with the same node, for as long as `wanted` says so: until then the
   * caller keeps the node's capacity taken. `failed` is called only when the pod surely is not bound there.
   */
  bind(pod: PendingPod, node: string, wanted: () => boolean, failed: (error: unknown) => void): void {
    this.#binds.run(async () => {
      for (let failures = 0; wanted() && !this.#closed; failures++) {
        try {
          await this.#deps.pods.mutate(pod.namespace, pod.name, (current) => this.#bound(current, node), { uid: pod.uid });
          this.#record(pod, "Normal", "Scheduled", `Successfully assigned ${pod.namespace}/${pod.name} to ${node}`);
          return;
        } catch (error) {
          if (error instanceof TesseraError && FINAL.has(error.reason)) return failed(error);
          this.#deps.log.warn({ err: error, pod: `${pod.namespace}/${pod.name}`, node }, "binding not confirmed, trying again");
          await this.#pause(Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(failures, 10)));
        }
      }
    });
  }

  /** Says in the pod's status and in an event why it has no node. `wanted` false: that is out of date by now. */
  refuse(pod: PendingPod, message: string, wanted: () => boolean): void {
    this.#record(pod, "Warning", "FailedScheduling", message);
    this.#refusals.run(async () => {
      if (!wanted()) return;
      const condition = { type: "PodScheduled", status: "False", reason: "Unschedulable", message } as const;
      try {
        await this.#deps.pods.mutate(
          pod.namespace,
          pod.name,
          (current) => {
            if (current.spec?.nodeName) return undefined;
            const next = withPodCondition(current, condition, this.#deps.clock.now());
            return next === current ? undefined : next;
          },
          { uid: pod.uid },
        );
      } catch (error) {
        if (error instanceof TesseraError && error.reason === "NotFound") return;
        // The next refusal writes it again; the event says it meanwhile.
        this.#deps.log.warn({ err: error, pod: `${pod.namespace}/${pod.name}` }, "could not write why the pod has no node");
      }
    });
  }

  /** Gives up what waits to be tried again and resolves when no write is under way any more. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const wake of this.#pauses) wake();
    await Promise.all([this.#binds.drain(), this.#refusals.drain()]);
  }

  #bound(current: Pod, node: string): Pod | undefined {
    if (current.spec?.nodeName === node) return undefined;
    const name = `pod "${current.metadata?.namespace}/${current.metadata?.name}"`;
    if (current.spec?.nodeName) throw new TesseraError("Conflict", `${name} is on node "${current.spec.nodeName}" already`);
    if (current.metadata?.deletionTimestamp) throw new TesseraError("Conflict", `${name} is being deleted and gets no node`);
    const assigned: Pod = { ...current, spec: { ...current.spec, nodeName: node } };
    return withPodCondition(assigned, { type: "PodScheduled", status: "True" }, this.#deps.clock.now());
  }

  #record(pod: PendingPod, type: "Normal" | "Warning", reason: string, message: string): void {
    this.#deps.events.record({
      involved: { kind: "Pod", apiVersion: "v1", namespace: pod.namespace, name: pod.name, uid: pod.uid },
      type,
      reason,
      message,
      source: { component: "tessera-scheduler" },
      timeMs: this.#deps.clock.now(),
    });
  }

  #pause(delayMs: number): Promise<void> {
    return new Promise((resolve) => {
      const wake = (): void => {
        cancel();
        this.#pauses.delete(wake);
        resolve();
      };
      const cancel = this.#deps.clock.after(delayMs, wake);
      this.#pauses.add(wake);
    });
  }
}

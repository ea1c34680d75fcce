import { setImmediate as nextTurn } from "node:timers/promises";
import type { Node, Pod } from "@tessera/proto";
import type { Logger } from "pino";
import type { Clock } from "../controllers/clock.ts";
import type { ControlLoop } from "../controllers/control-loop.ts";
import type { EventSink } from "../events/events.ts";
import type { Registry } from "../registry/resource.ts";
import type { CachedObject, CacheEvent } from "../store/cache.ts";
import { Binder } from "./binder.ts";
import { NodeRow, NodeTable } from "./node-table.ts";
import { Placer } from "./placer.ts";
import type { Policy } from "./plugin.ts";
import { type PodShape, ShapeCatalog } from "./pod-shape.ts";
import { defaultPolicy } from "./policy.ts";
import { type PendingPod, SchedulingQueue } from "./queue.ts";
import { explainRefusal, type Refusal } from "./refusal.ts";

export const DEFAULT_SCHEDULER_NAME = "default-scheduler";

/** Pods placed before other work of the process gets a turn. */
const PODS_PER_TURN = 64;
/** Reasons of waiting pods are told anew at most so often when nodes came, went or changed in a way that helped nobody. */
const RETELL_AFTER_MS = 5_000;
/** Objects parsed at the start before other work of the process gets a turn. */
const LOADS_PER_TURN = 500;

export interface SchedulerDependencies {
  readonly registry: Pick<Registry, "pods" | "nodes">;
  readonly events: EventSink;
  readonly log: Logger;
  readonly clock: Clock;
  readonly policy?: Policy;
}

interface TrackedPod {
  readonly uid: string;
  shape: PodShape;
  generation: number | undefined;
  /** Where the pod is counted: bound there, or about to be. */
  row: NodeRow | undefined;
  pending: PendingPod | undefined;
  /** The refusal that was told last. */
  refusal: Refusal | undefined;
}

/**
 * Gives every pod of the default scheduler a node.
 *
 * Everything it knows comes from the caches' events, and everything it decides it decides synchronously on that state, so there is nothing to lock. A
 * placement takes its capacity at once and is then written in the background, many at a time; capacity comes back when the write surely failed or
 * the pod is gone. What a crash leaves is pods with or without a node in the store: the next start reads exactly that.
 */
export class Scheduler implements ControlLoop {
  readonly name = "scheduler";
  readonly #deps: SchedulerDependencies;
  readonly #nodes = new NodeTable();
  readonly #shapes = new ShapeCatalog(this.#nodes);
  readonly #policy: Policy;
  readonly #placer: Placer;
  readonly #queue: SchedulingQueue;
  readonly #binder: Binder;
  readonly #tracked = new Map<string, TrackedPod>();
  #active = false;
  #turnPlanned = false;
  /** The table's staticVersion when reasons were last told, and the timer for telling them anew. */
  #toldVersion = 0;
  #cancelRetelling: (() => void) | undefined;
  constructor(deps: SchedulerDependencies) {
    this.#deps = deps;
    this.#policy = deps.policy ?? defaultPolicy;
    this.#placer = new Placer(this.#nodes, this.#policy);
    this.#queue = new SchedulingQueue({ clock: deps.clock, onReady: () => this.#planTurn() });
    this.#binder = new Binder({ pods: deps.registry.pods, events: deps.events, log: deps.log, clock: deps.clock });
  }

  async run(signal: AbortSignal, ready?: () => void): Promise<void> {
    const { nodes, pods } = this.#deps.registry;
    const unsubscribe = [nodes.cache.onChange((event) => this.#onNode(event)), pods.cache.onChange((event) => this.#onPod(event))];
    try {
      for (const node of nodes.cache.list()) this.#nodes.setNode(node.value);
      await this.#loadPods(signal);
      if (signal.aborted) return;
      this.#active = true;
      this.#planTurn();
      ready?.();
      await aborted(signal);
    } finally {
      this.#active = false;
      for (const stop of unsubscribe) stop();
      this.#cancelRetelling?.();
      this.#queue.close();
      await this.#binder.close();
    }
  }

  /** Why a pod has no node, node by node as they are now; undefined when it has one or was not tried yet. */
  explain(podUid: string): Refusal | undefined {
    const tracked = this.#tracked.get(podUid);
    return tracked?.refusal && explainRefusal(tracked.shape, this.#nodes, this.#policy);
  }

  /** All pods as they are now; those that change meanwhile come by event too, and the later one wins. */
  async #loadPods(signal: AbortSignal): Promise<void> {
    const cache = this.#deps.registry.pods.cache;
    const pods = [...cache.list()];
    for (let i = 0; i < pods.length && !signal.aborted; i++) {
      const listed = pods[i];
      const current = listed && cache.get(listed.namespace, listed.name);
      if (current) this.#setPod(current);
      if (i % LOADS_PER_TURN === LOADS_PER_TURN - 1) await nextTurn();
    }
  }

  #onNode(event: CacheEvent<Node>): void {
    if (event.type === "DELETED") this.#nodes.removeNode(event.object.name);
    else this.#nodes.setNode(event.object.value);
    this.#planTurn();
  }

  #onPod(event: CacheEvent<Pod>): void {
    if (event.previous && event.previous.uid !== event.object.uid) this.#forget(event.previous.uid);
    if (event.type === "DELETED") this.#forget(event.object.uid);
    else this.#setPod(event.object);
    this.#planTurn();
  }

  #setPod(pod: CachedObject<Pod>): void {
    const { spec, status, metadata } = pod.value;
    const ended = status?.phase === "Succeeded" || status?.phase === "Failed";
    if (!spec || ended || (!spec.nodeName && !wantsNode(pod.value))) {
      this.#forget(pod.uid);
      return;
    }
    const known = this.#tracked.get(pod.uid);
    if (known && metadata?.generation !== undefined && known.generation === metadata.generation && known.row?.name === spec.nodeName)
      return;
    // The binding is under way: the pod without a node is the past.
    if (known?.row && !spec.nodeName) return;
    const tracked = this.#track(pod.uid, this.#shapes.acquire(spec), spec.nodeName);
    tracked.generation = metadata?.generation;
    if (spec.nodeName) {
      this.#queue.remove(pod.uid);
      tracked.pending = undefined;
      tracked.refusal = undefined;
    } else {
      const { shape } = tracked;
      tracked.pending = { uid: pod.uid, namespace: pod.namespace, name: pod.name, priority: spec.priority ?? 0, shape };
      this.#queue.put(tracked.pending);
    }
  }

  /** Counts the pod on its node, if it has one, and no longer where it was before. */
  #track(uid: string, shape: PodShape, nodeName: string | undefined): TrackedPod {
    const known = this.#tracked.get(uid);
    if (known && known.shape === shape && known.row?.name === nodeName) {
      this.#shapes.release(shape);
      return known;
    }
    // Taken before released, so that a node without a Node object does not lose its row in between.
    const row = nodeName ? this.#nodes.take(nodeName, shape) : undefined;
    if (known) {
      if (known.row) this.#nodes.release(known.row, known.shape);
      this.#shapes.release(known.shape);
      known.shape = shape;
      known.row = row;
      return known;
    }
    const tracked: TrackedPod = { uid, shape, row, generation: undefined, pending: undefined, refusal: undefined };
    this.#tracked.set(uid, tracked);
    return tracked;
  }

  #forget(uid: string): void {
    const tracked = this.#tracked.get(uid);
    if (!tracked) return;
    this.#queue.remove(uid);
    this.#tracked.delete(uid);
    if (tracked.row) this.#nodes.release(tracked.row, tracked.shape);
    this.#shapes.release(tracked.shape);
  }

  /** After the events that are being handed out: a pod waits for nothing but them. */
  #planTurn(): void {
    if (!this.#active || this.#turnPlanned) return;
    this.#turnPlanned = true;
    queueMicrotask(() => this.#turn());
  }

  #turn(): void {
    this.#turnPlanned = false;
    if (!this.#active) return;
    this.#wakeWaiting();
    for (let i = 0; i < PODS_PER_TURN; i++) {
      const pod = this.#queue.take();
      if (!pod) return;
      this.#schedule(pod);
    }
    this.#turnPlanned = true;
    setImmediate(() => this.#turn());
  }

  /** A pod that fits nowhere can only be helped by a node that takes more than before, so only those are looked at. */
  #wakeWaiting(): void {
    this.#planRetelling();
    const improved = this.#nodes.takeImproved();
    if (improved.size === 0) return;
    const helped: PodShape[] = [];
    for (const shape of this.#queue.waitingShapes) {
      for (const index of improved) {
        if (!this.#placer.fits(shape, index)) continue;
        helped.push(shape);
        break;
      }
    }
    for (const shape of helped) this.#queue.wake(shape);
  }

  /** "no nodes available" must not stand there for ever when nodes did come, but none that fits. */
  #planRetelling(): void {
    if (this.#toldVersion === this.#nodes.staticVersion || this.#cancelRetelling || this.#queue.waitingCount === 0) return;
    this.#cancelRetelling = this.#deps.clock.after(RETELL_AFTER_MS, () => {
      this.#cancelRetelling = undefined;
      this.#toldVersion = this.#nodes.staticVersion;
      for (const shape of [...this.#queue.waitingShapes]) this.#queue.wake(shape);
      this.#planTurn();
    });
  }

  #schedule(pod: PendingPod): void {
    const tracked = this.#tracked.get(pod.uid);
    if (!tracked) return;
    const answer = this.#placer.place(pod.shape);
    if (answer instanceof NodeRow) this.#assign(tracked, pod, answer);
    else this.#refuse(tracked, pod, answer);
  }

  #assign(tracked: TrackedPod, pod: PendingPod, row: NodeRow): void {
    tracked.row = this.#nodes.take(row.name, pod.shape);
    const assumed = () => this.#active && this.#tracked.get(pod.uid) === tracked && tracked.pending === pod;
    this.#binder.bind(pod, row.name, assumed, (error) => {
      this.#deps.log.info({ err: error, pod: `${pod.namespace}/${pod.name}`, node: row.name }, "binding refused");
      if (!assumed() || !tracked.row) return;
      this.#nodes.release(tracked.row, tracked.shape);
      tracked.row = undefined;
      this.#queue.retry(pod);
      this.#planTurn();
    });
  }

  #refuse(tracked: TrackedPod, pod: PendingPod, refusal: Refusal): void {
    this.#queue.wait(pod);
    const told = tracked.refusal?.message ?? this.#toldMessage(pod);
    tracked.refusal = refusal;
    if (told === refusal.message) return;
    this.#binder.refuse(pod, refusal.message, () => this.#tracked.get(pod.uid) === tracked && tracked.refusal === refusal);
  }

  /** What an earlier run of the scheduler has told already. */
  #toldMessage(pod: PendingPod): string | undefined {
    const cached = this.#deps.registry.pods.cache.get(pod.namespace, pod.name);
    const condition = cached?.value.status?.conditions?.find((c) => c.type === "PodScheduled");
    return condition?.status === "False" ? condition.message : undefined;
  }
}

function wantsNode(pod: Pod): boolean {
  if (pod.metadata?.deletionTimestamp || (pod.spec?.schedulingGates?.length ?? 0) > 0) return false;
  return (pod.spec?.schedulerName || DEFAULT_SCHEDULER_NAME) === DEFAULT_SCHEDULER_NAME;
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}

import { setImmediate as nextTurn } from "node:timers/promises";
import type { Namespace, Node, Pod } from "@tessera/proto";
import type { Logger } from "pino";
import type { Clock } from "../controllers/clock.ts";
import type { ControlLoop } from "../controllers/control-loop.ts";
import type { EventSink } from "../events/events.ts";
import type { Registry } from "../registry/resource.ts";
import type { CachedObject, CacheEvent } from "../store/cache.ts";
import { Binder } from "./binder.ts";
import { NodeRow, NodeTable, type Resident, sameLabels } from "./node-table.ts";
import type { PeerChanges } from "./peers/peer-table.ts";
import type { PodGroup } from "./peers/pod-group.ts";
import type { Kin, SelectablePod } from "./peers/selectable-pod.ts";
import { Placer } from "./placer.ts";
import type { Policy } from "./plugin.ts";
import { type PodShape, ShapeCatalog } from "./pod-shape.ts";
import { defaultPolicy } from "./policy.ts";
import { type PendingPod, SchedulingQueue } from "./queue.ts";
import { explainRefusal, type Refusal } from "./refusal.ts";

export const DEFAULT_SCHEDULER_NAME = "default-scheduler";

/** Pods placed before other work of the process gets a turn. */
const PODS_PER_TURN = 64;
/** Reasons of waiting pods are told anew at most so often when nodes or other pods came, went or changed in a way that helped nobody. */
const RETELL_AFTER_MS = 5_000;
/** Objects parsed at the start before other work of the process gets a turn. */
const LOADS_PER_TURN = 500;

export interface SchedulerDependencies {
  readonly registry: Pick<Registry, "pods" | "nodes" | "namespaces">;
  readonly events: EventSink;
  readonly log: Logger;
  readonly clock: Clock;
  readonly policy?: Policy;
}

interface TrackedPod {
  readonly uid: string;
  shape: PodShape;
  selectable: SelectablePod;
  generation: number | undefined;
  /** Where the pod is counted, and as what: bound there, or about to be. */
  place: { readonly row: NodeRow; readonly resident: Resident } | undefined;
  pending: PendingPod | undefined;
  /** The refusal that was told last. */
  refusal: Refusal | undefined;
}

/** What happened since waiting pods were last looked at. */
interface Changes extends PeerChanges {
  /** Rows that may take more. */
  readonly improved: ReadonlySet<number>;
  /** Whether nodes came, went or changed their labels. */
  readonly nodes: boolean;
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
  /** The table's staticVersion when waiting pods were last looked at. */
  #seenVersion = 0;
  /** The table's staticVersion when reasons were last told, and the timer for telling them anew. */
  #toldVersion = 0;
  #cancelRetelling: (() => void) | undefined;
  /** Whether other pods changed in a way that helped nobody since reasons were last told. */
  #areReasonsOld = false;
  constructor(deps: SchedulerDependencies) {
    this.#deps = deps;
    this.#policy = deps.policy ?? defaultPolicy;
    this.#placer = new Placer(this.#nodes, this.#policy);
    this.#queue = new SchedulingQueue({ clock: deps.clock, onReady: () => this.#planTurn() });
    this.#binder = new Binder({ pods: deps.registry.pods, events: deps.events, log: deps.log, clock: deps.clock });
  }

  async run(signal: AbortSignal, ready?: () => void): Promise<void> {
    const { namespaces, nodes, pods } = this.#deps.registry;
    const unsubscribe = [
      namespaces.cache.onChange((event) => this.#onNamespace(event)),
      nodes.cache.onChange((event) => this.#onNode(event)),
      pods.cache.onChange((event) => this.#onPod(event)),
    ];
    try {
      for (const { name, value } of namespaces.cache.list()) this.#nodes.peers.setNamespace(name, value.metadata?.labels ?? {});
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
    return tracked?.refusal && explainRefusal(tracked.shape, tracked.selectable.kin, this.#nodes, this.#policy);
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

  #onNamespace({ type, object }: CacheEvent<Namespace>): void {
    this.#nodes.peers.setNamespace(object.name, type === "DELETED" ? undefined : (object.value.metadata?.labels ?? {}));
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
    const isLeaving = metadata?.deletionTimestamp !== undefined;
    if (known && isSame(known, pod.value, isLeaving)) return;
    // The binding is under way: the pod without a node is the past.
    if (known?.place && !spec.nodeName) return;
    const shape = this.#shapes.acquire(spec, pod.namespace);
    const selectable = this.#nodes.peers.acquirePod(pod.namespace, metadata?.labels);
    const tracked = this.#track(pod.uid, { namespace: pod.namespace, name: pod.name, shape, selectable, isLeaving }, spec.nodeName);
    tracked.generation = metadata?.generation;
    if (spec.nodeName) {
      this.#queue.remove(pod.uid);
      tracked.pending = undefined;
      tracked.refusal = undefined;
    } else {
      tracked.pending = { uid: pod.uid, namespace: pod.namespace, name: pod.name, priority: spec.priority ?? 0, shape, selectable };
      this.#queue.put(tracked.pending);
    }
  }

  /** Counts the pod on its node, if it has one, and no longer where, or as what, it was before. */
  #track(uid: string, as: Resident, nodeName: string | undefined): TrackedPod {
    const { shape, selectable } = as;
    const known = this.#tracked.get(uid);
    // Taken before released, so that a node without a Node object does not lose its row in between.
    const place = nodeName ? { row: this.#nodes.take(nodeName, as), resident: as } : undefined;
    if (known) {
      this.#letGo(known);
      return Object.assign(known, { shape, selectable, place });
    }
    const tracked: TrackedPod = { uid, shape, selectable, place, generation: undefined, pending: undefined, refusal: undefined };
    this.#tracked.set(uid, tracked);
    return tracked;
  }

  /** Takes the pod from its node, if it is counted on one, and lets go of what it shares with others. */
  #letGo({ place, shape, selectable }: TrackedPod): void {
    if (place) this.#nodes.release(place.row, place.resident);
    this.#shapes.release(shape);
    this.#nodes.peers.releasePod(selectable);
  }

  #forget(uid: string): void {
    const tracked = this.#tracked.get(uid);
    if (!tracked) return;
    this.#queue.remove(uid);
    this.#tracked.delete(uid);
    this.#letGo(tracked);
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

  /**
   * A pod that fits nowhere can only be helped by a node that takes more than before, or by pods that its rules speak of, or whose rules speak of it,
   * wherever these came, went or changed. So only such are looked at.
   */
  #wakeWaiting(): void {
    this.#wakeHelped();
    this.#planRetelling();
  }

  #wakeHelped(): void {
    const changes: Changes = {
      ...this.#nodes.peers.takeChanges(),
      improved: this.#nodes.takeImproved(),
      nodes: this.#seenVersion !== this.#nodes.staticVersion,
    };
    this.#seenVersion = this.#nodes.staticVersion;
    if (changes.improved.size + changes.groups.size + changes.pods.size === 0 && !changes.nodes) return;
    for (const shape of [...this.#queue.waitingShapes]) {
      const { hasGroups, nobody } = this.#nodes.peers;
      if (!hasGroups) {
        if (this.#isHelped(shape, nobody, changes.pods.size > 0, changes)) this.#queue.wake(shape);
        continue;
      }
      // One verdict for all pods of one kin; pods that belong to other groups than before, for which more may have changed, have their own.
      const verdicts = { same: new Map<Kin, boolean>(), regrouped: new Map<Kin, boolean>() };
      this.#queue.wake(shape, ({ selectable }) => {
        const isRegrouped = changes.pods.has(selectable);
        const known = verdicts[isRegrouped ? "regrouped" : "same"];
        const { kin } = selectable;
        const verdict = known.get(kin) ?? this.#isHelped(shape, kin, isRegrouped, changes);
        known.set(kin, verdict);
        return verdict;
      });
    }
  }

  /** Notes as well when the pods are not helped, but may be refused for other reasons than before. */
  #isHelped(shape: PodShape, kin: Kin, isRegrouped: boolean, { improved, groups, nodes }: Changes): boolean {
    const isTouched = (group: PodGroup) => groups.has(group);
    // A node that left or changed its labels may have evened out what is spread over all of them.
    const isOpened = isRegrouped || kin.groups.some(isTouched) || (shape.rules && (nodes || shape.rules.groups.some(isTouched)));
    if (!isOpened) return this.#placer.fitsOneOf(shape, kin, improved);
    const isHelped = this.#placer.fitsSomewhere(shape, kin);
    if (!isHelped) this.#areReasonsOld = true;
    return isHelped;
  }

  /** "no nodes available" must not stand there for ever when nodes did come, but none that fits. */
  #planRetelling(): void {
    if (this.#toldVersion === this.#nodes.staticVersion && !this.#areReasonsOld) return;
    if (this.#cancelRetelling || this.#queue.waitingCount === 0) return;
    this.#cancelRetelling = this.#deps.clock.after(RETELL_AFTER_MS, () => {
      this.#cancelRetelling = undefined;
      this.#toldVersion = this.#nodes.staticVersion;
      this.#areReasonsOld = false;
      for (const shape of [...this.#queue.waitingShapes]) this.#queue.wake(shape);
      this.#planTurn();
    });
  }

  #schedule(pod: PendingPod): void {
    const tracked = this.#tracked.get(pod.uid);
    if (!tracked) return;
    const answer = this.#placer.place(pod.shape, pod.selectable.kin);
    if (answer instanceof NodeRow) this.#assign(tracked, pod, answer);
    else this.#refuse(tracked, pod, answer);
  }

  #assign(tracked: TrackedPod, pod: PendingPod, row: NodeRow): void {
    const { namespace, name, shape, selectable } = pod;
    const resident: Resident = { namespace, name, shape, selectable, isLeaving: false };
    tracked.place = { row: this.#nodes.take(row.name, resident), resident };
    const assumed = () => this.#active && this.#tracked.get(pod.uid) === tracked && tracked.pending === pod;
    this.#binder.bind(pod, row.name, assumed, (error) => {
      this.#deps.log.info({ err: error, pod: `${namespace}/${name}`, node: row.name }, "binding refused");
      if (!assumed() || !tracked.place) return;
      this.#nodes.release(tracked.place.row, tracked.place.resident);
      tracked.place = undefined;
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

/** Whether nothing changed that the scheduler looks at; status is what changes most. */
function isSame({ generation, place, selectable }: TrackedPod, { metadata, spec }: Pod, isLeaving: boolean): boolean {
  if (metadata?.generation === undefined || generation !== metadata.generation || place?.row.name !== spec?.nodeName) return false;
  return (place?.resident.isLeaving ?? false) === isLeaving && sameLabels(selectable.labels, metadata.labels ?? {});
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

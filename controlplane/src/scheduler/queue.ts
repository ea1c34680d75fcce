import type { Clock } from "../controllers/clock.ts";
import type { SelectablePod } from "./peers/selectable-pod.ts";
import type { PodShape } from "./pod-shape.ts";

/** A pod without a node. */
export interface PendingPod {
  readonly uid: string;
  readonly namespace: string;
  readonly name: string;
  readonly priority: number;
  readonly shape: PodShape;
  readonly selectable: SelectablePod;
}

/**
 * Where a pending pod is:
 * - ready: in the heap, to be tried next;
 * - waiting: no node could take it; woken with all pods of its shape when some node could;
 * - delayed: its binding failed, a timer brings it back;
 * - taken: handed out by `take`; whoever took it says what became of it.
 */
type Place = "ready" | "waiting" | "delayed" | "taken";

interface Entry {
  readonly pod: PendingPod;
  readonly arrival: number;
  place: Place;
  /** Failed bindings in a row. */
  failures: number;
  cancelTimer?: (() => void) | undefined;
}

const FIRST_DELAY_MS = 100;
const LONGEST_DELAY_MS = 10_000;

/**
 * Pods without a node: the highest priority first, then first come, first served. Nothing in it polls. A pod that fits nowhere waits, however long,
 * for an event that makes room for its very shape; so it needs no backoff. Only bindings that failed are tried again by the clock.
 */
export class SchedulingQueue {
  readonly #clock: Clock;
  readonly #onReady: () => void;
  readonly #entries = new Map<string, Entry>();
  readonly #heap: Entry[] = [];
  readonly #waiting = new Map<PodShape, Set<Entry>>();
  #arrivals = 0;
  /** `onReady`: a timer has made a pod ready. */
  constructor(deps: { clock: Clock; onReady: () => void }) {
    this.#clock = deps.clock;
    this.#onReady = deps.onReady;
  }

  /** Pods that fit nowhere at present. */
  get waitingCount(): number {
    let count = 0;
    for (const entries of this.#waiting.values()) count += entries.size;
    return count;
  }

  get size(): number {
    return this.#entries.size;
  }

  has(uid: string): boolean {
    return this.#entries.has(uid);
  }

  get waitingShapes(): Iterable<PodShape> {
    return this.#waiting.keys();
  }

  /** Adds the pod, or replaces it by its new state; a changed shape or priority, or changed labels, make it ready at once, in its old turn. */
  put(pod: PendingPod): void {
    const known = this.#entries.get(pod.uid);
    if (known && known.pod.shape === pod.shape && known.pod.selectable === pod.selectable && known.pod.priority === pod.priority) return;
    if (known) this.remove(pod.uid);
    const entry: Entry = { pod, arrival: known?.arrival ?? this.#arrivals++, place: "ready", failures: 0 };
    this.#entries.set(pod.uid, entry);
    this.#push(entry);
  }

  remove(uid: string): void {
    const entry = this.#entries.get(uid);
    if (!entry) return;
    this.#leave(entry);
    this.#entries.delete(uid);
  }

  /** The next pod; it stays in the queue as taken until `wait`, `retry` or `remove`. */
  take(): PendingPod | undefined {
    for (;;) {
      const entry = this.#pop();
      if (!entry) return undefined;
      // Removed or replaced entries stay in the heap until they come up.
      if (entry.place !== "ready" || this.#entries.get(entry.pod.uid) !== entry) continue;
      entry.place = "taken";
      return entry.pod;
    }
  }

  /** No node can take it now. */
  wait(pod: PendingPod): void {
    const entry = this.#taken(pod);
    if (!entry) return;
    entry.place = "waiting";
    entry.failures = 0;
    const entries = this.#waiting.get(pod.shape);
    if (entries) entries.add(entry);
    else this.#waiting.set(pod.shape, new Set([entry]));
  }

  /** Its binding failed: again after a while that doubles with every failure. */
  retry(pod: PendingPod): void {
    const entry = this.#taken(pod);
    if (!entry) return;
    entry.place = "delayed";
    const delayMs = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(entry.failures++, 10));
    entry.cancelTimer = this.#clock.after(delayMs, () => {
      entry.cancelTimer = undefined;
      entry.place = "ready";
      this.#push(entry);
      this.#onReady();
    });
  }

  /** Some node could take pods of this shape, or those that `helps` says yes to: they are ready again, in their turn. */
  wake(shape: PodShape, helps: (pod: PendingPod) => boolean = () => true): void {
    const entries = this.#waiting.get(shape);
    if (!entries) return;
    for (const entry of entries) {
      if (!helps(entry.pod)) continue;
      entries.delete(entry);
      entry.place = "ready";
      this.#push(entry);
    }
    if (entries.size === 0) this.#waiting.delete(shape);
  }

  /** Stops all timers. */
  close(): void {
    for (const entry of this.#entries.values()) entry.cancelTimer?.();
  }

  #taken(pod: PendingPod): Entry | undefined {
    const entry = this.#entries.get(pod.uid);
    return entry?.pod === pod && entry.place === "taken" ? entry : undefined;
  }

  #leave(entry: Entry): void {
    entry.cancelTimer?.();
    entry.cancelTimer = undefined;
    const entries = this.#waiting.get(entry.pod.shape);
    if (entries?.delete(entry) && entries.size === 0) this.#waiting.delete(entry.pod.shape);
  }

  #push(entry: Entry): void {
    const heap = this.#heap;
    let at = heap.push(entry) - 1;
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#swapIfBefore(at, parent)) return;
      at = parent;
    }
  }

  #pop(): Entry | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (!first || !last || first === last) return first;
    heap[0] = last;
    let at = 0;
    for (;;) {
      const left = 2 * at + 1;
      const right = left + 1;
      const child = right < heap.length && comesBefore(heap[right], heap[left]) ? right : left;
      if (child >= heap.length || !this.#swapIfBefore(child, at)) return first;
      at = child;
    }
  }

  #swapIfBefore(child: number, parent: number): boolean {
    const a = this.#heap[child];
    const b = this.#heap[parent];
    if (!a || !b || !comesBefore(a, b)) return false;
    this.#heap[parent] = a;
    this.#heap[child] = b;
    return true;
  }
}

function comesBefore(a: Entry | undefined, b: Entry | undefined): boolean {
  if (!a || !b) return false;
  return a.pod.priority !== b.pod.priority ? a.pod.priority > b.pod.priority : a.arrival < b.arrival;
}

import type { TesseraError } from "@tessera/proto";
import type { Logger } from "pino";
import type { CachedObject, CacheEvent, ResourceCache } from "./cache.ts";
import type { CachedEntry } from "./cached-entry.ts";
import { EventHistory, type HistoryLimits } from "./event-history.ts";
import type { Progress } from "./progress.ts";
import { SortedObjects } from "./sorted-objects.ts";

export interface ResourceTableDependencies {
  readonly plural: string;
  readonly progress: Progress;
  readonly log: Logger;
  readonly history: HistoryLimits;
}

interface Unreadable {
  readonly namespace: string;
  readonly fault: TesseraError;
}

/** Of one batch that a watcher gets. */
const maxBatch = 1_000;

/** The cache of one resource. `WatchCache` feeds it; everybody else sees `ResourceCache`. */
export class ResourceTable<T> implements ResourceCache<T> {
  readonly plural: string;
  readonly #progress: Progress;
  readonly #log: Logger;
  readonly #objects = new SortedObjects<T>();
  readonly #history: EventHistory<T>;
  readonly #listeners = new Set<(event: CacheEvent<T>) => void>();
  /** Watchers that have read everything. */
  #sleepers = new Set<() => void>();
  /** Objects whose newest state cannot be read, by namespace and name. */
  readonly #unreadable = new Map<string, Unreadable>();

  constructor(dependencies: ResourceTableDependencies) {
    this.plural = dependencies.plural;
    this.#progress = dependencies.progress;
    this.#log = dependencies.log;
    this.#history = new EventHistory(dependencies.history);
  }

  get revision(): number {
    return this.#progress.revision;
  }

  get size(): number {
    return this.#objects.size;
  }

  get unreadable(): number {
    return this.#unreadable.size;
  }

  get(namespace: string, name: string): CachedEntry<T> | undefined {
    return this.#objects.get(namespace, name);
  }

  list(namespace?: string): readonly CachedEntry<T>[] {
    for (const unreadable of this.#unreadable.values()) {
      if (namespace === undefined || namespace === "" || namespace === unreadable.namespace) throw unreadable.fault;
    }
    return this.readable(namespace);
  }

  /** As `list`, without those that cannot be read. */
  readable(namespace?: string): readonly CachedEntry<T>[] {
    return this.#objects.list(namespace === "" ? undefined : namespace);
  }

  waitFor(revision: number, options?: { timeoutMs?: number; signal?: AbortSignal }): Promise<void> {
    return this.#progress.waitFor(revision, options);
  }

  async *watch(fromRevision: number, signal: AbortSignal): AsyncGenerator<readonly CacheEvent<T>[]> {
    let resolve = (): void => {};
    const wake = (): void => resolve();
    signal.addEventListener("abort", wake, { once: true });
    try {
      if (signal.aborted) return;
      // Also until the first listing, before which nobody could say what is too old.
      await this.#progress.waitFor(Math.max(fromRevision, 1), { timeoutMs: Number.POSITIVE_INFINITY, signal });
      let position = this.#history.positionAfter(fromRevision);
      while (!signal.aborted) {
        const events = this.#history.read(position, maxBatch);
        position += events.length;
        if (events.length > 0) yield events;
        else {
          await new Promise<void>((wakeUp) => {
            resolve = wakeUp;
            this.#sleepers.add(wake);
          });
        }
      }
    } catch (error) {
      // An abort is how a watch ends.
      if (!signal.aborted) throw error;
    } finally {
      this.#sleepers.delete(wake);
      signal.removeEventListener("abort", wake);
    }
  }

  onChange(listener: (event: CacheEvent<T>) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  put(object: CachedEntry<T>): void {
    const previous = this.#objects.get(object.namespace, object.name);
    this.#unreadable.delete(`${object.namespace}/${object.name}`);
    this.#objects.set(object);
    this.#tell(previous === undefined ? { type: "ADDED", object } : { type: "MODIFIED", object, previous });
  }

  /** Nothing happens for an object that is not there. */
  remove(namespace: string, name: string, revision: number): void {
    this.#unreadable.delete(`${namespace}/${name}`);
    const previous = this.#objects.get(namespace, name);
    if (previous === undefined) return;
    this.#objects.delete(namespace, name);
    this.#tell({ type: "DELETED", object: previous.deletedAt(revision), previous });
  }

  /** The newest state of an object cannot be read. The last one that could be is kept, until the object changes again or is deleted. */
  markUnreadable(namespace: string, name: string, fault: TesseraError): void {
    this.#unreadable.set(`${namespace}/${name}`, { namespace, fault });
  }

  isUnreadable(namespace: string, name: string): boolean {
    return this.#unreadable.has(`${namespace}/${name}`);
  }

  /** Before a listing says anew what cannot be read. */
  forgetUnreadable(): void {
    this.#unreadable.clear();
  }

  /** Wakes the watchers; called once per batch of changes. */
  wake(): void {
    const sleepers = this.#sleepers;
    this.#sleepers = new Set();
    for (const wake of sleepers) wake();
  }

  /** After a listing at `revision`: the changes that led to it are not known one by one. */
  beginHistoryAt(revision: number): void {
    this.#history.beginAt(revision);
  }

  /** Ends all watchers with "Expired". */
  forgetHistory(): void {
    this.#history.clear();
    this.wake();
  }

  #tell(event: CacheEvent<T>): void {
    this.#history.push(event);
    for (const listener of this.#listeners) {
      try {
        listener(event);
      } catch (error) {
        // The others, and the cache itself, must not miss the change for it.
        const { namespace, name } = event.object as CachedObject<T>;
        this.#log.error({ err: error, resource: this.plural, namespace, name, type: event.type }, "a listener of the cache failed");
      }
    }
  }
}

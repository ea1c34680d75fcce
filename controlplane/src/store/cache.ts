/** What readers of the watch cache see. `WatchCache` in watch-cache.ts makes it from one etcd watch over all keys. */

export interface CachedObject<T> {
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** The resourceVersion. */
  readonly revision: number;
  /** The object's JSON with metadata.resourceVersion, ready to be sent. */
  readonly bytes: Buffer;
  /**
   * Parsed on first use, deeply frozen, shared by all readers. Parts equal to those of the version before are the same objects, if that was
   * parsed: `event.object.value.spec === event.previous.value.spec` is a cheap look whether the spec changed (unequal may still be equal).
   */
  readonly value: T;
}

export type CacheEventType = "ADDED" | "MODIFIED" | "DELETED";

export interface CacheEvent<T> {
  readonly type: CacheEventType;
  /** For DELETED: the last state, its `revision` (and resourceVersion in `bytes`) being that of the deletion. */
  readonly object: CachedObject<T>;
  /** The state before; absent for ADDED. */
  readonly previous?: CachedObject<T>;
}

/** All objects of one resource, in memory, always at one revision. */
export interface ResourceCache<T> {
  /** The store revision up to which the cache has seen everything. */
  readonly revision: number;
  readonly size: number;
  /** namespace is "" for cluster-scoped objects. */
  get(namespace: string, name: string): CachedObject<T> | undefined;
  /** Whether the newest state of the object cannot be read, so that `get` tells an earlier one, or none. */
  isUnreadable(namespace: string, name: string): boolean;
  /**
   * In the order of the store's keys: a snapshot, that later changes do not touch. "" or undefined: all namespaces. Throws TesseraError "InternalError" when
   * the newest state of an object there cannot be read: a list that leaves one out would say that it does not exist. `get` and watches go on telling its
   * last state that could be read.
   */
  list(namespace?: string): Iterable<CachedObject<T>>;
  /** Resolves when the cache has seen `revision`. Rejects with TesseraError "Timeout" after `timeoutMs`, or when aborted. */
  waitFor(revision: number, options?: { timeoutMs?: number; signal?: AbortSignal }): Promise<void>;
  /**
   * Batches of events after `fromRevision`, in order, until aborted. Without gap or repetition from the revision of a list or of the cache;
   * from that of a single object, what was changed in the same transaction as that object is told (again), since the reader may have missed
   * it (revision.ts). Throws TesseraError "Expired" when the history no longer reaches back so far, or when the reader falls too far behind.
   */
  watch(fromRevision: number, signal: AbortSignal): AsyncIterable<readonly CacheEvent<T>[]>;
  /** In-process readers (scheduler, controllers, node sessions): called in order, at once, must not throw or block. Returns the unsubscribe. */
  onChange(listener: (event: CacheEvent<T>) => void): () => void;
}

import { setTimeout as delay } from "node:timers/promises";
import { TesseraError } from "@tessera/proto";
import type { Logger } from "pino";
import type { ResourceCache } from "./cache.ts";
import { CachedEntry } from "./cached-entry.ts";
import { type EtcdClient, type EtcdEvent, type EtcdKey, prefixEnd } from "./etcd-client.ts";
import type { HistoryLimits } from "./event-history.ts";
import { followEtcd } from "./follow-etcd.ts";
import { Progress } from "./progress.ts";
import { ResourceTable } from "./resource-table.ts";
import { withResourceVersion } from "./resource-version-bytes.ts";
import { objectVersion, storeVersion } from "./revision.ts";
import { plainValues, type ValueSealing } from "./sealing.ts";
import { StringPool } from "./shared-value.ts";

export interface WatchCacheDependencies {
  readonly client: EtcdClient;
  readonly log: Logger;
  /** Default: values lie in etcd as they are. */
  readonly sealing?: ValueSealing;
  /** Ends in "/". Default "/registry/". */
  readonly prefix?: string;
  /** Changes kept per resource for watchers that start or fall back, default 65,536 and 128 MiB. */
  readonly history?: HistoryLimits;
  /** A watch that is silent for so long is tested by a write of our own, default 15,000. */
  readonly silenceMs?: number;
  /** How long etcd may take to open the watch, and to tell that write, default 5,000. */
  readonly patienceMs?: number;
}

interface Location {
  readonly plural: string;
  readonly namespace: string;
  readonly name: string;
}

/** Everything below the prefix at one revision. */
interface Listing {
  readonly revision: number;
  readonly entries: ReadonlyMap<string, Located>;
  readonly unreadable: readonly { readonly location: Location; readonly fault: TesseraError }[];
}

interface Located {
  readonly location: Location;
  readonly entry: CachedEntry<unknown>;
}

const pageSize = 2_000;

/**
 * All objects of all resources in memory, kept current by one etcd watch. Objects found at start are announced as ADDED to the
 * `onChange` listeners that subscribed before `run`.
 *
 * One revision of etcd is applied as a whole, in etcd's order, before anybody can see that the cache has come to it. After a lost connection
 * the watch goes on with the next revision. When etcd no longer has it (compacted), or has forgotten revisions that were here already
 * (restored from a backup), everything is listed again and the differences are told as changes.
 *
 * A value that cannot be unsealed ends neither the watch nor the listing: of its object the last readable state is kept and told, nobody is told that it is
 * gone, and lists that would have to hold it are refused (`ResourceCache.list`).
 */
export class WatchCache {
  /** Resolves when the first listing is in; never rejects. */
  readonly ready: Promise<void>;
  readonly #client: EtcdClient;
  readonly #log: Logger;
  readonly #sealing: ValueSealing;
  readonly #prefix: string;
  readonly #historyLimits: HistoryLimits;
  readonly #silenceMs: number;
  readonly #patienceMs: number;
  readonly #strings = new StringPool();
  readonly #tables = new Map<string, ResourceTable<unknown>>();
  readonly #progress = new Progress(() => this.#touch());
  readonly #becomeReady: () => void;
  /** etcd's revision up to which everything is applied. */
  #etcdRevision = 0;
  #touching = false;

  constructor(dependencies: WatchCacheDependencies) {
    this.#client = dependencies.client;
    this.#log = dependencies.log;
    this.#sealing = dependencies.sealing ?? plainValues;
    this.#prefix = dependencies.prefix ?? "/registry/";
    this.#historyLimits = dependencies.history ?? { events: 65_536, bytes: 128 * 1024 * 1024 };
    this.#silenceMs = dependencies.silenceMs ?? 15_000;
    this.#patienceMs = dependencies.patienceMs ?? 5_000;
    const ready = Promise.withResolvers<void>();
    this.ready = ready.promise;
    this.#becomeReady = ready.resolve;
  }

  /** The cache of one resource, by its folder below the prefix ("pods"). Any name may be asked for, at any time, also before `run`. */
  cacheOf<T>(plural: string): ResourceCache<T> {
    // What is below the folder of a resource are objects of that resource: the caller names the type.
    return this.#tableOf(plural) as unknown as ResourceCache<T>;
  }

  /** Objects whose newest state cannot be read; see `ResourceCache.list`. */
  get unreadable(): number {
    return [...this.#tables.values()].reduce((sum, table) => sum + table.unreadable, 0);
  }

  /** Whether what etcd held at a key could not be read when it was told last. */
  isUnreadable(key: string): boolean {
    const location = this.#locate(key);
    return location !== undefined && this.#tableOf(location.plural).isUnreadable(location.namespace, location.name);
  }

  /** Lists, then watches until aborted; survives every fault of etcd. Resolves after the abort. */
  async run(signal: AbortSignal): Promise<void> {
    let mustList = true;
    let pauseMs = 0;
    while (!signal.aborted) {
      try {
        if (mustList) this.#adopt(await this.#listAll());
        mustList = false;
        const before = this.#etcdRevision;
        const end = await followEtcd({
          client: this.#client,
          prefix: this.#prefix,
          canaryKey: this.#canaryKey,
          silenceMs: this.#silenceMs,
          patienceMs: this.#patienceMs,
          lastRevision: () => this.#etcdRevision,
          onEvents: (events) => this.#apply(events),
          signal,
        });
        if (signal.aborted) return;
        mustList = end.reason === "compacted" || end.reason === "rewound";
        pauseMs = this.#etcdRevision > before || mustList ? 0 : nextPause(pauseMs);
        this.#log.warn({ reason: end.reason, err: end.error, revision: this.#etcdRevision }, "the watch of etcd ended, resuming");
      } catch (error) {
        pauseMs = nextPause(pauseMs);
        this.#log.warn({ err: error, pauseMs }, "etcd cannot be listed yet");
      }
      await delay(pauseMs, undefined, { signal }).catch(() => {});
    }
  }

  get #canaryKey(): string {
    // Below the prefix, so that its changes are told, but not where an object could be.
    return `${this.#prefix}.canary`;
  }

  #apply(events: readonly EtcdEvent[]): void {
    const seen = this.#etcdRevision;
    const changed = new Set<ResourceTable<unknown>>();
    let revision = seen;
    for (const event of events) {
      // After a reconnection etcd may tell a revision again.
      if (event.modRevision <= seen) continue;
      revision = event.modRevision;
      const location = this.#locate(event.key);
      if (location === undefined) continue;
      const table = this.#tableOf(location.plural);
      if (event.value === undefined) table.remove(location.namespace, location.name, objectVersion(event.modRevision));
      else {
        const entry = this.#toEntry(location, { ...event, value: event.value }, table);
        if (entry instanceof TesseraError) table.markUnreadable(location.namespace, location.name, entry);
        else if (entry !== undefined) table.put(entry);
      }
      changed.add(table);
    }
    this.#etcdRevision = revision;
    this.#progress.moveTo(storeVersion(revision));
    for (const table of changed) table.wake();
  }

  async #listAll(): Promise<Listing> {
    const entries = new Map<string, Located>();
    const unreadable: { location: Location; fault: TesseraError }[] = [];
    const end = prefixEnd(this.#prefix);
    for (let key = this.#prefix, revision = 0; ; ) {
      const page = await this.#client.range({ key, end, limit: pageSize, revision });
      revision ||= page.revision;
      for (const item of page.items) {
        const location = this.#locate(item.key);
        if (location === undefined) continue;
        const entry = this.#listed(location, item, revision < this.#etcdRevision);
        if (entry instanceof TesseraError) {
          unreadable.push({ location, fault: entry });
          const known = this.#tableOf(location.plural).get(location.namespace, location.name);
          if (known?.createRevision === item.createRevision) entries.set(item.key, { location, entry: known });
        } else if (entry !== undefined) entries.set(item.key, { location, entry });
      }
      const last = page.items.at(-1);
      if (!page.more || last === undefined) return { revision, entries, unreadable };
      key = `${last.key}\0`;
    }
  }

  /** The cached entry itself when it is the same state; with another past (`isRewound`), revisions do not tell. */
  #listed(location: Location, item: EtcdKey, isRewound: boolean): CachedEntry<unknown> | TesseraError | undefined {
    const table = this.#tableOf(location.plural);
    const cached = table.get(location.namespace, location.name);
    if (cached?.revision === objectVersion(item.modRevision) && !isRewound) return cached;
    const entry = this.#toEntry(location, item, table);
    return entry instanceof CachedEntry && cached?.bytes.equals(entry.bytes) ? cached : entry;
  }

  /** Tells what is different in a listing as changes, deletions first, then in the order of revisions. */
  #adopt(listing: Listing): void {
    const isFirst = this.#etcdRevision === 0;
    const isRewound = listing.revision < this.#etcdRevision;
    if (isRewound)
      this.#log.error({ from: this.#etcdRevision, to: listing.revision }, "etcd has lost revisions, its state is an older one");
    // A deletion in between has a revision that nobody knows: it is told as of just after what was known before.
    const deletedAt = storeVersion(Math.min(this.#etcdRevision, listing.revision));
    for (const table of this.#tables.values()) {
      for (const { namespace, name, createRevision } of table.readable()) {
        const listed = listing.entries.get(this.#keyOf(table.plural, namespace, name));
        // Another object by the same name is a deletion and a creation, never a modification.
        if (listed?.entry.createRevision !== createRevision) table.remove(namespace, name, deletedAt);
      }
    }
    const changes = [...listing.entries.values()].sort((a, b) => a.entry.revision - b.entry.revision);
    for (const { location, entry } of changes) {
      const table = this.#tableOf(location.plural);
      if (table.get(location.namespace, location.name) !== entry) table.put(entry);
    }
    for (const table of this.#tables.values()) table.forgetUnreadable();
    for (const { location, fault } of listing.unreadable) {
      this.#tableOf(location.plural).markUnreadable(location.namespace, location.name, fault);
    }
    this.#etcdRevision = listing.revision;
    this.#progress.moveTo(storeVersion(listing.revision));
    for (const table of this.#tables.values()) {
      if (isFirst || isRewound) table.forgetHistory();
      table.beginHistoryAt(storeVersion(listing.revision));
      table.wake();
    }
    this.#log.info({ objects: listing.entries.size, revision: listing.revision }, "listed etcd");
    this.#becomeReady();
  }

  /** A TesseraError is why the object cannot be read; undefined: it is none. */
  #toEntry(
    location: Location,
    item: { readonly value: Buffer; readonly modRevision: number; readonly createRevision: number },
    table: ResourceTable<unknown>,
  ): CachedEntry<unknown> | TesseraError | undefined {
    const revision = objectVersion(item.modRevision);
    let value: Buffer;
    try {
      value = this.#sealing.unseal(this.#keyOf(location.plural, location.namespace, location.name), item.value);
    } catch (error) {
      this.#log.error({ err: error, ...location, revision }, "what etcd holds cannot be read: lists that should hold it are refused");
      return error instanceof TesseraError ? error : new TesseraError("InternalError", "a stored value cannot be read", { cause: error });
    }
    const bytes = withResourceVersion(value, revision, "kept");
    if (bytes === undefined) {
      this.#log.error({ ...location, revision }, "what etcd holds is not an object of the API, ignored");
      return undefined;
    }
    const { namespace, name } = location;
    const { createRevision } = item;
    const entry = { namespace, name, revision, createRevision, bytes, strings: this.#strings };
    return new CachedEntry<unknown>(entry, table.get(namespace, name));
  }

  /** "/registry/pods/default/web" or, cluster-scoped, "/registry/nodes/node-1"; undefined for keys that are no object's. */
  #locate(key: string): Location | undefined {
    const [plural = "", first = "", second, ...rest] = key.slice(this.#prefix.length).split("/");
    if (plural === "" || first === "" || second === "" || rest.length > 0) return undefined;
    if (second === undefined) return { plural, namespace: "", name: this.#strings.intern(first) };
    return { plural, namespace: this.#strings.intern(first), name: second };
  }

  #keyOf(plural: string, namespace: string, name: string): string {
    return `${this.#prefix}${plural}/${namespace === "" ? "" : `${namespace}/`}${name}`;
  }

  #tableOf(plural: string): ResourceTable<unknown> {
    let table = this.#tables.get(plural);
    if (table === undefined) {
      table = new ResourceTable({ plural, progress: this.#progress, log: this.#log, history: this.#historyLimits });
      if (this.#etcdRevision > 0) table.beginHistoryAt(storeVersion(this.#etcdRevision));
      this.#tables.set(plural, table);
    }
    return table;
  }

  /** Makes etcd tell its newest revision: that of a key outside of the prefix is told by nobody else. */
  #touch(): void {
    if (this.#touching) return;
    this.#touching = true;
    this.#client
      .touch(this.#canaryKey)
      .catch((error) => this.#log.debug({ err: error instanceof TesseraError ? error.message : error }, "etcd not touched"))
      .finally(() => {
        this.#touching = false;
      });
  }
}

function nextPause(pauseMs: number): number {
  return Math.min(Math.max(pauseMs * 2, 20), 1_000);
}

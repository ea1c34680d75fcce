import type { ApiObject } from "../registry/definition.ts";
import type { CacheEvent, ResourceCache } from "../store/cache.ts";
import type { AnyObject, Selection, WatchItem, WatchQuery } from "./reader.ts";
import { parseResourceVersion, waitForRevision } from "./resource-version.ts";

/** Objects that exist already are sent in batches of this size. */
const initialBatchSize = 500;
const bookmarkIntervalMs = 60_000;

export interface FollowOptions {
  readonly cache: ResourceCache<ApiObject>;
  readonly query: WatchQuery;
  /** The newest revision of the store. */
  readonly currentRevision: () => Promise<number>;
  /** How long to wait for a version that the cache has not seen yet. */
  readonly freshnessTimeoutMs: number;
  /** How long a watcher may go without hearing of a version, if it wants bookmarks. Default 60,000. */
  readonly bookmarkIntervalMs?: number;
  readonly now?: () => number;
}

/**
 * A watch: optionally what exists, then every change after it, as seen through the selection. resourceVersion "" starts at the newest state, "0" at
 * whatever the cache has, N exactly after N (with initial events: at any state not older than N).
 */
export async function* followCache(options: FollowOptions): AsyncGenerator<readonly WatchItem[]> {
  const { cache, query } = options;
  const { selection, signal, resourceVersion } = query;
  const wanted = resourceVersion === "" ? await options.currentRevision() : parseResourceVersion(resourceVersion);
  await waitForRevision(cache, wanted, { signal, timeoutMs: options.freshnessTimeoutMs });
  const startsAnywhere = query.initialEvents !== "none" || resourceVersion === "" || resourceVersion === "0";
  // From here to the end of the snapshot nothing is awaited: revision and objects belong together.
  const from = startsAnywhere ? cache.revision : wanted;
  const existing =
    query.initialEvents === "none" ? [] : [...cache.list(selection.namespace)].filter((object) => isSelected(object, selection));
  for (let start = 0; start < existing.length; start += initialBatchSize) {
    yield existing.slice(start, start + initialBatchSize).map((object) => ({ type: "ADDED", object }));
  }
  if (query.initialEvents === "marked") yield [{ type: "BOOKMARK", resourceVersion: String(from), initialEnd: true }];
  yield* followChanges(options, from);
}

async function* followChanges({ cache, query, ...options }: FollowOptions, from: number): AsyncGenerator<readonly WatchItem[]> {
  // A reader that turns away leaves a read under way, which must not wait for the next change to end.
  const ended = new AbortController();
  const iterator = cache.watch(from, AbortSignal.any([query.signal, ended.signal]))[Symbol.asyncIterator]();
  const interval = query.bookmarks ? (options.bookmarkIntervalMs ?? bookmarkIntervalMs) : Number.POSITIVE_INFINITY;
  const now = options.now ?? Date.now;
  let lastSentMs = now();
  try {
    let next = ahead(iterator.next());
    for (;;) {
      const result = await withDeadline(next, lastSentMs + interval - now());
      if (result?.done === true) return;
      let items: readonly WatchItem[] = [];
      // After a silence all that the cache has seen was sent; after a batch all up to its end.
      let seen = cache.revision;
      if (result !== undefined) {
        next = ahead(iterator.next());
        items = result.value.flatMap((event) => translate(event, query.selection));
        seen = result.value.at(-1)?.object.revision ?? seen;
      }
      if (items.length === 0 && now() - lastSentMs < interval) continue;
      lastSentMs = now();
      yield items.length > 0 ? items : [{ type: "BOOKMARK", resourceVersion: String(seen), initialEnd: false }];
    }
  } finally {
    ended.abort();
    await iterator.return?.();
  }
}

/** A promise that is awaited only when the reader comes back for more: that it fails meanwhile is not forgotten, but no accident either. */
function ahead<V>(promise: Promise<V>): Promise<V> {
  promise.catch(() => {});
  return promise;
}

/** What the promise brings, or undefined after the deadline; the promise can then be waited for again. */
async function withDeadline<V>(promise: Promise<V>, deadlineMs: number): Promise<V | undefined> {
  if (deadlineMs === Number.POSITIVE_INFINITY) return promise;
  let timer: NodeJS.Timeout | undefined;
  const deadline = new Promise<undefined>((resolve) => {
    timer = setTimeout(resolve, Math.max(0, deadlineMs), undefined);
    timer.unref();
  });
  try {
    return await Promise.race([promise, deadline]);
  } finally {
    clearTimeout(timer);
  }
}

/** An event as somebody sees it who sees only the selection: objects appear and disappear by changing. */
function translate(event: CacheEvent<ApiObject>, selection: Selection): WatchItem[] {
  const { object, previous } = event;
  const isDeletion = event.type === "DELETED";
  const before = isDeletion ? isSelected(object, selection) : previous !== undefined && isSelected(previous, selection);
  const now = !isDeletion && isSelected(object, selection);
  if (now) return [{ type: before ? "MODIFIED" : "ADDED", object }];
  if (!before) return [];
  return [{ type: "DELETED", object: isDeletion || previous === undefined ? object : atRevision(previous, object.revision) }];
}

function isSelected(object: AnyObject, { namespace, name, matches }: Selection): boolean {
  if (namespace !== "" && object.namespace !== namespace) return false;
  if (name !== undefined && object.name !== name) return false;
  return matches === undefined || matches(object);
}

/** The last state that the watcher may see, at the version of the change that took it out of sight. */
function atRevision(object: AnyObject, revision: number): AnyObject {
  const value: ApiObject = { ...object.value, metadata: { ...object.value.metadata, resourceVersion: String(revision) } };
  const { namespace, name, uid } = object;
  return { namespace, name, uid, revision, value, bytes: Buffer.from(JSON.stringify(value)) };
}

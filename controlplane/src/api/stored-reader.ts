import { TesseraError } from "@tessera/proto";
import type { ApiObject } from "../registry/definition.ts";
import type { AnyDefinition } from "../registry/definitions.ts";
import { storeKey } from "../registry/encoding.ts";
import { StoredObject } from "../registry/stored-object.ts";
import type { StoredResource } from "../registry/stored-resource.ts";
import type { ResourceCache } from "../store/cache.ts";
import type { Store } from "../store/store.ts";
import { type ContinueToken, ExpiredContinue, formatContinueToken, parseContinueToken } from "./continue-token.ts";
import { followCache } from "./follow-cache.ts";
import type { AnyObject, ListQuery, ListResult, ResourceReader, Selection, WatchItem, WatchQuery } from "./reader.ts";
import { parseResourceVersion, waitForRevision } from "./resource-version.ts";

/** Objects a read of the store asks for at once. */
const storePageSize = 1000;
/** A cache that lags behind for longer is passed by: the watch of etcd may be broken, or the newest change one that it does not tell. */
const cacheLagMs = 100;

export interface StoredReaderDependencies {
  readonly resource: StoredResource<ApiObject>;
  readonly store: Store;
  /** How long a request may wait for a version that the cache has not seen yet. Default 3,000. */
  readonly freshnessTimeoutMs?: number;
}

/** Reads of a stored resource: from the watch cache wherever its promise allows it, else from the store. */
export class StoredReader implements ResourceReader {
  readonly definition: AnyDefinition;
  readonly #resource: StoredResource<ApiObject>;
  readonly #cache: ResourceCache<ApiObject>;
  readonly #store: Store;
  readonly #freshnessTimeoutMs: number;

  constructor(dependencies: StoredReaderDependencies) {
    this.#resource = dependencies.resource;
    this.#cache = dependencies.resource.cache;
    this.#store = dependencies.store;
    this.definition = dependencies.resource.definition;
    this.#freshnessTimeoutMs = dependencies.freshnessTimeoutMs ?? 3000;
  }

  async get(namespace: string, name: string, resourceVersion: string, request: { readonly signal: AbortSignal }): Promise<AnyObject> {
    if (resourceVersion === "") return this.#getNewest(namespace, name, request);
    await this.#waitFor(parseResourceVersion(resourceVersion), request);
    // What the cache does not have may be there and unreadable: only the store says which.
    return this.#cache.get(namespace, name) ?? this.#resource.read(namespace, name);
  }

  async list(query: ListQuery): Promise<ListResult> {
    const { resourceVersion, resourceVersionMatch, limit } = query;
    checkMatch(query);
    if (query.continueToken !== "") return this.#continue(query, parseContinueToken(query.continueToken));
    const isExact =
      resourceVersionMatch === "Exact" || (resourceVersionMatch === "" && limit > 0 && resourceVersion !== "" && resourceVersion !== "0");
    if (isExact) return this.#listStored(query, parseResourceVersion(resourceVersion), undefined);
    const wanted = resourceVersion === "" ? await this.#store.currentRevision() : parseResourceVersion(resourceVersion);
    await this.#waitFor(wanted, query);
    return this.#listCached(query);
  }

  watch(query: WatchQuery): AsyncIterable<readonly WatchItem[]> {
    const currentRevision = () => this.#store.currentRevision();
    return followCache({ cache: this.#cache, query, currentRevision, freshnessTimeoutMs: this.#freshnessTimeoutMs });
  }

  /**
   * As linearizable as a read of etcd, at a fraction of its cost: those who ask at the same time learn the store's newest revision from one call,
   * and the cache answers when it is there.
   */
  async #getNewest(namespace: string, name: string, request: { readonly signal: AbortSignal }): Promise<AnyObject> {
    const revision = await this.#store.currentRevision();
    const isThere = this.#cache.revision >= revision || (await this.#comesTo(revision, request.signal));
    if (!isThere || this.#cache.isUnreadable(namespace, name)) return this.#resource.read(namespace, name);
    const object = this.#cache.get(namespace, name);
    if (object === undefined) throw this.#resource.notFound(name);
    return object;
  }

  async #comesTo(revision: number, signal: AbortSignal): Promise<boolean> {
    try {
      await this.#cache.waitFor(revision, { signal, timeoutMs: cacheLagMs });
      return true;
    } catch (error) {
      if (error instanceof TesseraError && error.reason === "Timeout") return false;
      throw error;
    }
  }

  async #waitFor(revision: number, request: { readonly signal: AbortSignal }): Promise<void> {
    if (this.#cache.revision >= revision) return;
    await waitForRevision(this.#cache, revision, { signal: request.signal, timeoutMs: this.#freshnessTimeoutMs });
  }

  async #continue(query: ListQuery, token: ContinueToken): Promise<ListResult> {
    if (query.resourceVersion !== "" && query.resourceVersion !== "0") {
      throw new TesseraError("BadRequest", "specifying resource version is not allowed when using continue");
    }
    const revision = token.revision === "newest" ? await this.#store.currentRevision() : token.revision;
    try {
      return await this.#listStored(query, revision, token);
    } catch (cause) {
      if (!(cause instanceof TesseraError && cause.reason === "Expired")) throw cause;
      throw new ExpiredContinue(token, cause);
    }
  }

  /** One synchronous pass over the cache, so that the result is true at one revision. */
  #listCached(query: ListQuery): ListResult {
    const { selection, limit } = query;
    const items: AnyObject[] = [];
    let remaining = 0;
    for (const object of this.#candidates(selection)) {
      if (selection.matches !== undefined && !selection.matches(object)) continue;
      if (limit > 0 && items.length === limit) {
        remaining++;
        // With a selector nobody promises a count, so the first object beyond the limit settles the matter.
        if (selection.matches !== undefined) break;
      } else items.push(object);
    }
    const revision = this.#cache.revision;
    const last = items.at(-1);
    const goesOn = remaining > 0 && last !== undefined;
    return {
      items,
      resourceVersion: String(revision),
      continueToken: goesOn ? formatContinueToken({ revision, namespace: last.namespace, name: last.name }) : "",
      ...(goesOn && selection.matches === undefined ? { remaining } : {}),
    };
  }

  *#candidates(selection: Selection): Iterable<AnyObject> {
    if (selection.name === undefined || (selection.namespace === "" && this.definition.namespaced)) {
      yield* this.#cache.list(selection.namespace);
      return;
    }
    const found = this.#cache.get(selection.namespace, selection.name);
    if (found !== undefined) yield found;
    // Throws if it may be one that cannot be read.
    else this.#cache.list(selection.namespace);
  }

  /** At exactly one revision of the past, from the store. */
  async #listStored(query: ListQuery, revision: number, after: ContinueToken | undefined): Promise<ListResult> {
    const { selection, limit } = query;
    const prefix = storeKey(this.definition.plural, "", selection.namespace === "" ? "" : `${selection.namespace}/`);
    const items: AnyObject[] = [];
    let fromKey = after === undefined ? undefined : `${storeKey(this.definition.plural, after.namespace, after.name)}\0`;
    do {
      const wanted = limit > 0 && selection.matches === undefined ? Math.min(storePageSize, limit - items.length + 1) : storePageSize;
      const page = await this.#store.readPage(prefix, { limit: wanted, revision, ...(fromKey === undefined ? {} : { fromKey }) });
      query.signal.throwIfAborted();
      for (const versioned of page.items) {
        const object = StoredObject.of<ApiObject>(versioned);
        if (selection.matches === undefined || selection.matches(object)) items.push(object);
      }
      fromKey = page.nextKey;
    } while (fromKey !== undefined && (limit === 0 || items.length <= limit));
    const goesOn = limit > 0 && items.length > limit;
    const shown = goesOn ? items.slice(0, limit) : items;
    const last = shown.at(-1);
    return {
      items: shown,
      resourceVersion: String(revision),
      continueToken: goesOn && last !== undefined ? formatContinueToken({ revision, namespace: last.namespace, name: last.name }) : "",
    };
  }
}

function checkMatch({ resourceVersion, resourceVersionMatch, continueToken }: ListQuery): void {
  if (resourceVersionMatch === "") return;
  const fault = (text: string) => new TesseraError("BadRequest", `resourceVersionMatch: ${text}`);
  if (!["Exact", "NotOlderThan"].includes(resourceVersionMatch)) {
    throw fault(`Unsupported value: ${JSON.stringify(resourceVersionMatch)}: supported values: "Exact", "NotOlderThan"`);
  }
  if (continueToken !== "") throw fault("Forbidden: resourceVersionMatch is forbidden when continue is provided");
  if (resourceVersion === "") throw fault("Forbidden: resourceVersionMatch is forbidden unless resourceVersion is provided");
  if (resourceVersionMatch === "Exact" && resourceVersion === "0")
    throw fault('Forbidden: resourceVersionMatch "Exact" is forbidden for resourceVersion "0"');
}

import type { ApiObject } from "../registry/definition.ts";
import type { AnyDefinition } from "../registry/definitions.ts";
import type { CachedObject } from "../store/cache.ts";

export type AnyObject = CachedObject<ApiObject>;

/** Which objects of a resource are asked for. */
export interface Selection {
  /** "": all namespaces. */
  readonly namespace: string;
  /** The only name that can match. */
  readonly name?: string;
  /** Absent: all match, and no object needs to be parsed. */
  readonly matches?: (object: AnyObject) => boolean;
}

export interface ListQuery {
  readonly selection: Selection;
  readonly resourceVersion: string;
  readonly resourceVersionMatch: string;
  /** 0: no limit. */
  readonly limit: number;
  readonly continueToken: string;
  readonly signal: AbortSignal;
}

export interface ListResult {
  readonly items: readonly AnyObject[];
  readonly resourceVersion: string;
  /** "" when this is the last piece. */
  readonly continueToken: string;
  readonly remaining?: number;
}

export interface WatchQuery {
  readonly selection: Selection;
  readonly resourceVersion: string;
  /** Send what exists before the changes; "marked": and a bookmark after it, which says so. */
  readonly initialEvents: "none" | "plain" | "marked";
  readonly bookmarks: boolean;
  readonly signal: AbortSignal;
}

export type WatchItem =
  | { readonly type: "ADDED" | "MODIFIED" | "DELETED"; readonly object: AnyObject }
  /** Everything up to this version was sent; `initialEnd` marks the end of the initial events. */
  | { readonly type: "BOOKMARK"; readonly resourceVersion: string; readonly initialEnd: boolean };

/** How the API reads a resource, wherever its objects lie. */
export interface ResourceReader {
  readonly definition: AnyDefinition;
  /** `resourceVersion`: "" for the newest, "0" for any, N for not older. Throws TesseraError "NotFound". */
  get(namespace: string, name: string, resourceVersion: string, request: { readonly signal: AbortSignal }): Promise<AnyObject>;
  list(query: ListQuery): Promise<ListResult>;
  /** Batches, in order, until aborted. Rejects before the first batch, or throws later, TesseraError "Expired". */
  watch(query: WatchQuery): AsyncIterable<readonly WatchItem[]>;
}

import type { Readable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { isCancellation, TesseraError } from "@tessera/proto";
import type { Api, ApiList, ApiObject, Query } from "./api.ts";
import { type StatusBody, statusError } from "./status-error.ts";

export type WatchEvent<T = ApiObject> = { readonly type: "ADDED" | "MODIFIED" | "DELETED"; readonly object: T };

interface RawEvent {
  readonly type?: string;
  readonly object?: ApiObject & StatusBody;
}

/** Lines of a stream; throws TesseraError "ServiceUnavailable" when it breaks off. */
export async function* readLines(stream: Readable): AsyncGenerator<string> {
  let rest = "";
  try {
    for await (const chunk of stream.setEncoding("utf8")) {
      const lines = `${rest}${chunk}`.split("\n");
      rest = lines.pop() ?? "";
      yield* lines;
    }
  } catch (cause) {
    if (isCancellation(cause) || cause instanceof TesseraError) throw cause;
    throw new TesseraError("ServiceUnavailable", "the connection to the server was lost", { cause });
  }
  if (rest !== "") yield rest;
}

/** Up to where a watch has come: each event and bookmark moves it on. */
interface Position {
  version: string | undefined;
}

async function* watchOnce<T>(
  api: Api,
  path: string,
  query: Query,
  position: Position,
  options: WatchOptions,
): AsyncGenerator<WatchEvent<T>> {
  const full = { ...query, resourceVersion: position.version, watch: true, allowWatchBookmarks: true };
  const stream = await api.open("GET", path, { query: full, accept: options.accept, signal: options.signal });
  for await (const line of readLines(stream)) {
    if (line === "") continue;
    const { type, object }: RawEvent = JSON.parse(line);
    if (object === undefined) continue;
    if (type === "ERROR") throw statusError(object);
    position.version = versionOf(object) ?? position.version;
    if (type === "ADDED" || type === "MODIFIED" || type === "DELETED") yield { type, object: object as unknown as T };
  }
}

/** A Table carries its version with its list, or with its row's object. */
function versionOf(object: ApiObject): string | undefined {
  if (object.metadata?.resourceVersion) return object.metadata.resourceVersion;
  const rows = object["rows"] as { object?: ApiObject }[] | undefined;
  return rows?.[0]?.object?.metadata?.resourceVersion;
}

export interface WatchOptions {
  readonly accept?: string;
  readonly signal?: AbortSignal;
  /** How long the server may be away before its absence is an error; half a minute unless given. */
  readonly patienceMs?: number;
}

/**
 * Every change after `version`, for as long as the caller wants. Carries on over watches that the server ends and over restarts of the
 * server. Throws TesseraError "Expired" or "Gone" when the version is too old to carry on from.
 */
export async function* watchFrom<T = ApiObject>(
  api: Api,
  path: string,
  query: Query,
  version: string | undefined,
  options: WatchOptions = {},
): AsyncGenerator<WatchEvent<T>> {
  const position: Position = { version };
  let lostAtMs: number | undefined;
  let pauseMs = 50;
  for (;;) {
    const before = position.version;
    try {
      yield* watchOnce<T>(api, path, query, position, options);
      lostAtMs = undefined;
    } catch (error) {
      if (!(error instanceof TesseraError) || error.reason !== "ServiceUnavailable") throw error;
      if (position.version !== before) lostAtMs = undefined;
      lostAtMs ??= performance.now();
      if (performance.now() - lostAtMs > (options.patienceMs ?? 30_000)) throw error;
    }
    // A server that ends every watch at once is asked less and less often.
    pauseMs = position.version === before ? Math.min(pauseMs * 2, 1000) : 50;
    await delay(pauseMs, undefined, { signal: options.signal });
  }
}

/** What `follow` yields: a whole list at first and whenever the thread was lost, and the changes in between. */
export type Followed<T = ApiObject> = { readonly type: "LISTED"; readonly items: readonly T[] } | WatchEvent<T>;

/** Lists, then follows every change; lists again when the server no longer knows what happened since. */
export async function* follow<T extends ApiObject>(
  api: Api,
  path: string,
  query: Query,
  options: WatchOptions = {},
): AsyncGenerator<Followed<T>> {
  for (;;) {
    const list = await api.request<ApiList<T>>("GET", path, { query, signal: options.signal });
    yield { type: "LISTED", items: list.items ?? [] };
    try {
      yield* watchFrom<T>(api, path, query, list.metadata?.resourceVersion, options);
    } catch (error) {
      if (!(error instanceof TesseraError && ["Expired", "Gone"].includes(error.reason))) throw error;
    }
  }
}

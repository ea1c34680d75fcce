import type { CallOptions } from "@grpc/grpc-js";
import { TesseraError } from "@tessera/proto";
import {
  type Etcd3,
  GRPCCancelledError,
  GRPCDeadlineExceededError,
  GRPCInternalError,
  GRPCInvalidArgumentError,
  GRPCOutOfRangeError,
  GRPCResourceExhastedError,
  GRPCUnavailableError,
  GRPCUnknownError,
  type IKeyValue,
  type IRequestOp,
  type ITxnResponse,
  type IWatchResponse,
} from "etcd3";
import { EtcdEndpointSet, type EtcdEndpoints } from "./etcd-endpoints.ts";

export type { EtcdEndpoints } from "./etcd-endpoints.ts";

/** One key as etcd holds it; revisions are etcd's own. */
export interface EtcdKey {
  readonly key: string;
  readonly value: Buffer;
  readonly createRevision: number;
  readonly modRevision: number;
}

export interface EtcdRange {
  readonly items: readonly EtcdKey[];
  readonly more: boolean;
  /** Of the whole store, when the answer was made. */
  readonly revision: number;
}

/** A change of one key that happens only while its mod_revision is `expected` (0: while there is no such key). */
export interface ConditionalWrite {
  readonly key: string;
  readonly expected: number;
  /** undefined removes the key. */
  readonly value: Buffer | undefined;
}

/** `current`: the mod_revision found instead of the expected one, 0 when there is no such key. */
export type WriteResult = { readonly done: true; readonly revision: number } | { readonly done: false; readonly current: number };

export interface EtcdEvent {
  readonly key: string;
  /** undefined: removed. */
  readonly value: Buffer | undefined;
  readonly modRevision: number;
  /** 0 for a removal. */
  readonly createRevision: number;
}

export interface WatchHandlers {
  /** The watch is established; `revision` is the store's newest. */
  onOpen(revision: number): void;
  /** Changes in order; a revision is never split over two calls. Without events: the store has come to `revision`. */
  onEvents(events: readonly EtcdEvent[], revision: number): void;
  /** Called once, after which nothing follows. `compacted`: the history no longer holds the start. */
  onEnd(end: { readonly compacted: boolean; readonly error: TesseraError }): void;
}

/** At most this many writes fit into one call: etcd counts the outer operation against the inner ones, and allows 128. */
export const maxWritesPerCall = 127;

/**
 * Calls to etcd: nobody but this module and etcd-endpoints.ts knows etcd3. Nothing is dialled before the first call.
 *
 * Calls throw TesseraError: "ServiceUnavailable" when the request was certainly not carried out, "Timeout" when nobody knows,
 * "Expired" for compacted revisions, "RequestEntityTooLarge".
 */
export class EtcdClient {
  readonly #callTimeoutMs: number;
  /** Watches have connections of their own, so that a large answer to one does not delay the other. */
  readonly #calls: EtcdEndpointSet;
  readonly #watches: EtcdEndpointSet;

  constructor(endpoints: EtcdEndpoints) {
    this.#callTimeoutMs = endpoints.callTimeoutMs ?? 5_000;
    this.#calls = new EtcdEndpointSet(endpoints);
    this.#watches = new EtcdEndpointSet(endpoints);
  }

  /** Another certificate, for connections that are made from now on. */
  renew(tls: NonNullable<EtcdEndpoints["tls"]>): void {
    this.#calls.renew(tls);
    this.#watches.renew(tls);
  }

  /** `end` exclusive; without it the one key. `revision` 0: the newest. */
  async range(query: { key: string; end?: string; limit?: number; revision?: number; timeoutMs?: number }): Promise<EtcdRange> {
    const answer = await this.#call(query.timeoutMs, (etcd, options) =>
      etcd.kv.range(
        {
          key: Buffer.from(query.key),
          ...(query.end === undefined ? {} : { range_end: Buffer.from(query.end) }),
          limit: query.limit ?? 0,
          revision: query.revision ?? 0,
        },
        options,
      ),
    );
    return { items: answer.kvs.map(toKey), more: answer.more, revision: Number(answer.header.revision) };
  }

  /** Each write stands alone: its condition decides about it and about no other. Keys must differ; at most `maxWritesPerCall`. */
  async write(writes: readonly ConditionalWrite[], options: { timeoutMs?: number } = {}): Promise<WriteResult[]> {
    const [first, ...others] = writes;
    if (first === undefined) return [];
    const request = others.length === 0 ? toTransaction(first) : { success: writes.map((w) => ({ request_txn: toTransaction(w) })) };
    const bytes = writes.reduce((sum, write) => sum + write.key.length + (write.value?.length ?? 0), 0);
    const answer = await this.#call(options.timeoutMs, (etcd, callOptions) => etcd.kv.txn(request, callOptions), bytes);
    const revision = Number(answer.header.revision);
    if (others.length === 0) return [toResult(answer, revision)];
    return answer.responses.map((response) => toResult(response.response_txn, revision));
  }

  /** Writes a key without any condition; resolves to the store's new revision. */
  async touch(key: string): Promise<number> {
    const answer = await this.#call(undefined, (etcd, options) => etcd.kv.put({ key: Buffer.from(key) }, options));
    return Number(answer.header.revision);
  }

  /** Follows all keys below `prefix` from etcd's `fromRevision` on. The returned function ends it; `onEnd` is then not called. */
  watch(prefix: string, fromRevision: number, handlers: WatchHandlers): () => void {
    let over = false;
    let cancel = (): void => {};
    const end = (error: TesseraError, compacted = false): void => {
      if (over) return;
      over = true;
      cancel();
      handlers.onEnd({ compacted, error });
    };
    const open = async (): Promise<void> => {
      const etcd = await this.#watches.ready(this.#callTimeoutMs);
      const stream = await etcd.watchClient.watch();
      // The stream reports its own cancellation as an error; without a listener that would end the process.
      stream.on("error", (error) => end(toTesseraError(error)));
      stream.on("end", () => end(new TesseraError("ServiceUnavailable", "etcd ended the watch")));
      if (over) return stream.cancel();
      cancel = () => stream.cancel();
      const collect = fragmentCollector();
      stream.on("data", (response) => {
        if (over) return;
        if (response.canceled) {
          const compacted = Number(response.compact_revision) > 0;
          const message = compacted ? `etcd has compacted its history up to revision ${response.compact_revision}` : response.cancel_reason;
          end(new TesseraError(compacted ? "Expired" : "ServiceUnavailable", `etcd cancelled the watch: ${message}`), compacted);
        } else if (response.created) handlers.onOpen(Number(response.header.revision));
        else {
          const events = collect(response);
          if (events !== undefined) handlers.onEvents(events, Number(response.header.revision));
        }
      });
      stream.write({
        create_request: {
          key: Buffer.from(prefix),
          range_end: Buffer.from(prefixEnd(prefix)),
          start_revision: fromRevision,
          progress_notify: true,
          fragment: true,
        },
      });
    };
    open().catch((error) => end(toTesseraError(error)));
    return () => {
      over = true;
      cancel();
    };
  }

  /** The next watch goes over a new connection, to another endpoint if there is one. */
  abandonWatchConnection(): void {
    this.#watches.abandonCurrent();
  }

  close(): void {
    this.#calls.close();
    this.#watches.close();
  }

  async #call<T>(timeoutMs: number | undefined, run: (etcd: Etcd3, options: CallOptions) => Promise<T>, bytes = 0): Promise<T> {
    const deadline = Date.now() + Math.min(timeoutMs ?? this.#callTimeoutMs, this.#callTimeoutMs);
    const etcd = this.#calls.readyNow() ?? (await this.#calls.ready(deadline - Date.now()));
    try {
      return await run(etcd, { deadline });
    } catch (error) {
      throw toTesseraError(error, bytes);
    }
  }
}

/** The first key after all that begin with `prefix`. Prefixes of ours end in "/", so the last byte can always be raised. */
export function prefixEnd(prefix: string): string {
  const last = prefix.length - 1;
  return prefix.slice(0, last) + String.fromCharCode(prefix.charCodeAt(last) + 1);
}

function toTransaction(write: ConditionalWrite) {
  const key = Buffer.from(write.key);
  const change: IRequestOp = write.value === undefined ? { request_delete_range: { key } } : { request_put: { key, value: write.value } };
  return {
    compare: [{ key, target: "Mod" as const, result: "Equal" as const, mod_revision: write.expected }],
    success: [change],
    failure: [{ request_range: { key, keys_only: true } }],
  };
}

function toResult(answer: ITxnResponse, revision: number): WriteResult {
  if (answer.succeeded) return { done: true, revision };
  return { done: false, current: Number(answer.responses[0]?.response_range.kvs[0]?.mod_revision ?? 0) };
}

function toKey(kv: IKeyValue): EtcdKey {
  return { key: kv.key.toString(), value: kv.value, createRevision: Number(kv.create_revision), modRevision: Number(kv.mod_revision) };
}

/** Puts the fragments of a large answer together again, since a revision may be spread over several. */
function fragmentCollector(): (response: IWatchResponse) => EtcdEvent[] | undefined {
  let events: EtcdEvent[] = [];
  return (response) => {
    for (const { type, kv } of response.events) {
      events.push({
        key: kv.key.toString(),
        value: type === "Delete" ? undefined : kv.value,
        modRevision: Number(kv.mod_revision),
        createRevision: Number(kv.create_revision),
      });
    }
    if (response.fragment) return undefined;
    const complete = events;
    events = [];
    return complete;
  };
}

/**
 * etcd's database is at its quota: nothing but reads goes on. The very write that goes beyond is answered with this as well, and
 * applied none the less (etcd's quotaApplierV3), so whoever gets this has to look.
 */
export class FullDatabase extends TesseraError {
  constructor(cause: Error) {
    super(
      "InternalError",
      `etcd: ${cause.message}: nothing can be written until it is compacted, defragmented and told that its alarm is over (etcdctl compact, defrag, alarm disarm)`,
      { cause },
    );
  }
}

/** etcd's limit of a request is 1.5 MiB unless it is told otherwise. */
const largeRequestBytes = 1024 * 1024;

/** etcd's and gRPC's errors by what they say about the request. */
function toTesseraError(error: unknown, requestBytes = 0): TesseraError {
  if (error instanceof TesseraError) return error;
  if (isFull(error)) return new FullDatabase(error);
  const message = `etcd: ${error instanceof Error ? error.message : String(error)}`;
  return new TesseraError(reasonOf(error, requestBytes), message, { cause: error });
}

function isFull(error: unknown): error is GRPCResourceExhastedError {
  return error instanceof GRPCResourceExhastedError && error.message.includes("space exceeded");
}

function reasonOf(error: unknown, requestBytes: number): TesseraError["reason"] {
  // "Compacted", and also "in the future".
  if (error instanceof GRPCOutOfRangeError) return "Expired";
  // Too large is told by etcd with the one code, by its gRPC server with the other, which else means a full database.
  if (error instanceof GRPCInvalidArgumentError || error instanceof GRPCResourceExhastedError) {
    return requestBytes > largeRequestBytes ? "RequestEntityTooLarge" : "InternalError";
  }
  const outcomeUnknown =
    error instanceof GRPCUnavailableError ||
    error instanceof GRPCDeadlineExceededError ||
    error instanceof GRPCCancelledError ||
    error instanceof GRPCInternalError ||
    error instanceof GRPCUnknownError;
  return outcomeUnknown ? "Timeout" : "InternalError";
}

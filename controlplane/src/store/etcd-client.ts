import { type CallOptions, Channel, type ChannelOptions, connectivityState } from "@grpc/grpc-js";
import { TesseraError } from "@tessera/proto";
import {
  Etcd3,
  GRPCCancelledError,
  GRPCDeadlineExceededError,
  GRPCInternalError,
  GRPCInvalidArgumentError,
  GRPCOutOfRangeError,
  GRPCResourceExhastedError,
  GRPCUnavailableError,
  GRPCUnknownError,
  type IKeyValue,
  type IOptions,
  type IRequestOp,
  type ITxnResponse,
  type IWatchResponse,
} from "etcd3";

/** How to reach an etcd cluster. */
export interface EtcdEndpoints {
  /** "https://127.0.0.1:2379"; with several, one is used and the next is taken when it does not answer. */
  readonly endpoints: readonly string[];
  /** PEM bytes; required for https endpoints. */
  readonly tls?: { readonly ca: Buffer; readonly cert: Buffer; readonly key: Buffer };
  /** The name that the server's certificate must have, if it is not the host of the endpoint. */
  readonly serverName?: string;
  /** Deadline of one call, default 5,000. */
  readonly callTimeoutMs?: number;
  /**
   * Pings on a busy connection, default every 6,000: etcd ends connections that ping more often than its --grpc-keepalive-min-time,
   * by default 5 s.
   */
  readonly keepaliveMs?: number;
}

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
 * Connections to etcd: the only module that imports etcd3. Nothing is dialled before the first call.
 *
 * etcd3's own fault handling is switched off: its circuit breaker turns one lost connection into seconds of refusals, its retries repeat
 * writes blindly, it throws its connection away at every fault, and its watcher hides why it was cancelled. What remains of it is the
 * protocol. Calls throw TesseraError: "ServiceUnavailable" when the request was certainly not carried out, "Timeout" when nobody knows,
 * "Expired" for compacted revisions, "RequestEntityTooLarge".
 */
export class EtcdClient {
  readonly #callTimeoutMs: number;
  /** Watches have connections of their own, so that a large answer to one does not delay the other. */
  readonly #calls: EndpointSet;
  readonly #watches: EndpointSet;

  constructor(endpoints: EtcdEndpoints) {
    this.#callTimeoutMs = endpoints.callTimeoutMs ?? 5_000;
    this.#calls = new EndpointSet(endpoints);
    this.#watches = new EndpointSet(endpoints);
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

  /** Forgets the history before `revision`. */
  async compact(revision: number): Promise<void> {
    await this.#call(undefined, (etcd, options) => etcd.kv.compact({ revision, physical: true }, options));
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

/** One etcd3 object per endpoint; which one is used is decided here, since etcd3 picks at random, dead or alive. */
class EndpointSet {
  readonly #options: EtcdEndpoints;
  readonly #endpoints: Endpoint[];
  #current = 0;

  constructor(options: EtcdEndpoints) {
    this.#options = options;
    this.#endpoints = options.endpoints.map((url) => new Endpoint(url, options));
  }

  readyNow(): Etcd3 | undefined {
    const endpoint = this.#endpoints[this.#current];
    return endpoint?.isReady ? endpoint.etcd : undefined;
  }

  /** The endpoint in use, or else the first that has a connection within the time. */
  async ready(timeoutMs: number): Promise<Etcd3> {
    const now = this.readyNow();
    if (now !== undefined) return now;
    const deadline = Date.now() + timeoutMs;
    const waiting = new AbortController();
    try {
      const index = await Promise.any(
        this.#endpoints.map((endpoint, index) => endpoint.whenReady(deadline, waiting.signal).then(() => index)),
      );
      this.#current = index;
      const { etcd } = this.#endpoints[index] as Endpoint;
      return etcd;
    } catch (error) {
      const urls = this.#endpoints.map((endpoint) => endpoint.url).join(", ");
      throw new TesseraError("ServiceUnavailable", `no connection to etcd at ${urls}`, { cause: error });
    } finally {
      waiting.abort();
    }
  }

  abandonCurrent(): void {
    const abandoned = this.#endpoints[this.#current] as Endpoint;
    abandoned.close();
    this.#endpoints[this.#current] = new Endpoint(abandoned.url, this.#options);
    this.#current = (this.#current + 1) % this.#endpoints.length;
  }

  close(): void {
    for (const endpoint of this.#endpoints) endpoint.close();
  }
}

/** One endpoint with one connection that lives until `close`, whatever etcd3 does to its clients. */
class Endpoint {
  readonly url: string;
  readonly etcd: Etcd3;
  #channel: Channel | undefined;
  #closed = false;

  constructor(url: string, options: EtcdEndpoints) {
    this.url = url;
    const grpcOptions: ChannelOptions & { channelFactoryOverride: unknown } = {
      // A watch that catches up gets batches far above the default limit of 4 MB, and would fail for ever.
      "grpc.max_receive_message_length": -1,
      "grpc.keepalive_time_ms": options.keepaliveMs ?? 6_000,
      "grpc.keepalive_timeout_ms": 1_500,
      "grpc.initial_reconnect_backoff_ms": 50,
      "grpc.max_reconnect_backoff_ms": 500,
      ...(options.serverName === undefined ? {} : { "grpc.ssl_target_name_override": options.serverName }),
      // Transparent retries hide whether a write was sent.
      "grpc.enable_retries": 0,
      // grpc-js otherwise lets all channels to one address share a connection.
      "grpc.use_local_subchannel_pool": 1,
      channelFactoryOverride: (...args: ConstructorParameters<typeof Channel>) => {
        this.#channel ??= new Channel(...args);
        return withoutClose(this.#channel);
      },
    };
    this.etcd = new Etcd3({
      hosts: url,
      ...(options.tls === undefined
        ? {}
        : { credentials: { rootCertificate: options.tls.ca, privateKey: options.tls.key, certChain: options.tls.cert } }),
      grpcOptions,
      faultHandling: { host: () => noPolicy, global: noPolicy },
    });
  }

  get isReady(): boolean {
    return this.#channel?.getConnectivityState(false) === connectivityState.READY;
  }

  async whenReady(deadline: number, signal: AbortSignal): Promise<void> {
    const channel = await this.#open();
    while (!this.#closed && !signal.aborted) {
      const state = channel.getConnectivityState(true);
      if (state === connectivityState.READY) return;
      await new Promise<void>((resolve, reject) =>
        channel.watchConnectivityState(state, new Date(deadline), (error) => (error ? reject(error) : resolve())),
      );
    }
    throw new TesseraError("ServiceUnavailable", "the etcd client is closed");
  }

  close(): void {
    this.#closed = true;
    this.etcd.close();
    this.#channel?.close();
  }

  async #open(): Promise<Channel> {
    // etcd3 makes its channel when a service is first asked for; this asks for one without calling it.
    const pool = this.etcd.kv as unknown as { client: { withConnection(service: string, use: () => void): Promise<void> } };
    if (this.#channel === undefined) await pool.client.withConnection("KV", () => {});
    if (this.#channel === undefined) throw new TesseraError("InternalError", "etcd3 did not open a channel");
    return this.#channel;
  }
}

/** etcd3 closes its channel after every fault; the connection heals itself, so it is kept. */
function withoutClose(channel: Channel): Channel {
  return new Proxy(channel, {
    get(target, property) {
      if (property === "close") return () => {};
      const value: unknown = Reflect.get(target, property);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}

const neverAborted = new AbortController().signal;

/** The fault-handling policy that handles nothing (cockatiel's `noop`, which is not ours to import). */
const noPolicy = {
  // Always a promise: etcd3 reports lost streams to the policy by a function that throws, and catches only rejections.
  execute: async <T>(run: (context: { signal: AbortSignal }) => PromiseLike<T> | T): Promise<T> => run({ signal: neverAborted }),
  onSuccess: () => ({ dispose: () => {} }),
  onFailure: () => ({ dispose: () => {} }),
} as unknown as NonNullable<NonNullable<IOptions["faultHandling"]>["global"]>;

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

/** etcd's limit of a request is 1.5 MiB unless it is told otherwise. */
const largeRequestBytes = 1024 * 1024;

/** etcd's and gRPC's errors by what they say about the request. */
function toTesseraError(error: unknown, requestBytes = 0): TesseraError {
  if (error instanceof TesseraError) return error;
  const message = `etcd: ${error instanceof Error ? error.message : String(error)}`;
  return new TesseraError(reasonOf(error, requestBytes), message, { cause: error });
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

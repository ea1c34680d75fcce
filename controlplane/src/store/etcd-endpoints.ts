import { Channel, type ChannelOptions, connectivityState } from "@grpc/grpc-js";
import { TesseraError } from "@tessera/proto";
import { Etcd3, type IOptions } from "etcd3";

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

/**
 * One etcd3 object per endpoint; which one is used is decided here, since etcd3 picks at random, dead or alive.
 *
 * etcd3's own fault handling is switched off: its circuit breaker turns one lost connection into seconds of refusals, its retries repeat
 * writes blindly, it throws its connection away at every fault, and its watcher hides why it was cancelled. What remains of it is the
 * protocol.
 */
export class EtcdEndpointSet {
  #options: EtcdEndpoints;
  #endpoints: Endpoint[];
  #current = 0;

  constructor(options: EtcdEndpoints) {
    this.#options = options;
    this.#endpoints = options.endpoints.map((url) => new Endpoint(url, options));
  }

  /**
   * New calls use new connections with these credentials. Calls and watches under way go on where they are; their connection ends with the last of them.
   */
  renew(tls: NonNullable<EtcdEndpoints["tls"]>): void {
    this.#options = { ...this.#options, tls };
    const before = this.#endpoints;
    this.#endpoints = before.map(({ url }) => new Endpoint(url, this.#options));
    for (const endpoint of before) endpoint.close();
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

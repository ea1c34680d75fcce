import { once } from "node:events";
import { TesseraError } from "@tessera/proto";
import { connect, type NatsConnection } from "nats";
import type { Logger } from "pino";
import type { TlsFiles } from "../embedded/embedded-etcd.ts";
import { natsTls } from "../embedded/nats-tls.ts";

export interface NatsOptions {
  readonly url: string;
  /** The client's side. */
  readonly tls?: TlsFiles;
  /** Shown in nats-server's connection list. */
  readonly name: string;
  readonly log: Logger;
}

/** A connection that is made when NATS is there and made again for ever. Opening it never waits and never fails. */
export interface NatsLink {
  /** Waits until there is a connection; stays the same object over reconnections. Rejects when aborted or closed. */
  connection(signal: AbortSignal): Promise<NatsConnection>;
  /** False before the first connection and while it is lost. */
  readonly connected: boolean;
  /** Calls back after each loss that was mended. Returns the unsubscribe. */
  onReconnect(listener: () => void): () => void;
  close(): Promise<void>;
}

export function openNats(options: NatsOptions): NatsLink {
  return new Link(options);
}

class Link implements NatsLink {
  readonly #log: Logger;
  readonly #connecting: Promise<NatsConnection>;
  readonly #closed = new AbortController();
  readonly #reconnectListeners = new Set<() => void>();
  /** Pending while there is no connection. */
  #present = Promise.withResolvers<NatsConnection>();
  #connected = false;

  constructor(options: NatsOptions) {
    this.#log = options.log;
    this.#present.promise.catch(() => {});
    this.#connecting = this.#connect(options);
    this.#connecting.catch((error) => this.#present.reject(error));
  }

  get connected(): boolean {
    return this.#connected;
  }

  async connection(signal: AbortSignal): Promise<NatsConnection> {
    signal.throwIfAborted();
    const over = new AbortController();
    const aborted = once(signal, "abort", { signal: over.signal }).then(() => {
      throw signal.reason;
    });
    try {
      return await Promise.race([this.#present.promise, aborted]);
    } finally {
      aborted.catch(() => {});
      over.abort();
    }
  }

  onReconnect(listener: () => void): () => void {
    this.#reconnectListeners.add(listener);
    return () => this.#reconnectListeners.delete(listener);
  }

  async close(): Promise<void> {
    if (this.#closed.signal.aborted) return;
    const reason = new TesseraError("ServiceUnavailable", "the connection to NATS is closed");
    this.#closed.abort(reason);
    this.#present.reject(reason);
    await (await this.#connecting.catch(() => undefined))?.close();
  }

  /** The first connection is tried for ever too, by hand: the client's own way could not be given up. */
  async #connect({ url, tls, name }: NatsOptions): Promise<NatsConnection> {
    const closed = this.#closed.signal;
    for (let told = false; ; ) {
      closed.throwIfAborted();
      try {
        const connection = await connect({
          servers: url,
          name,
          tls: natsTls(url, tls),
          timeout: 3_000,
          maxReconnectAttempts: -1,
          reconnectTimeWait: 100,
          reconnectJitter: 50,
          reconnectJitterTLS: 50,
          // A connection that is silent is noticed after three times this.
          pingInterval: 2_000,
          maxPingOut: 2,
        });
        this.#connected = true;
        this.#present.resolve(connection);
        void this.#follow(connection);
        return connection;
      } catch (error) {
        if (!told) this.#log.warn({ err: error, url }, "no connection to NATS yet, trying on");
        told = true;
        await pause(200, closed);
      }
    }
  }

  async #follow(connection: NatsConnection): Promise<void> {
    for await (const { type, data } of connection.status()) {
      if (type === "disconnect") {
        if (this.#connected) this.#absent();
        this.#log.warn({ server: data }, "lost the connection to NATS");
      } else if (type === "reconnect") {
        this.#connected = true;
        this.#present.resolve(connection);
        this.#log.info({ server: data }, "connected to NATS again");
        for (const listener of [...this.#reconnectListeners]) listener();
      }
    }
    this.#connected = false;
  }

  #absent(): void {
    this.#connected = false;
    this.#present = Promise.withResolvers();
    // Whoever waits for the connection is told when the link is closed; nobody may be waiting.
    this.#present.promise.catch(() => {});
  }
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms);
    function done(): void {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    }
    signal.addEventListener("abort", done, { once: true });
  });
}

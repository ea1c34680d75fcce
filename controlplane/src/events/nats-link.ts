import type { NatsConnection } from "nats";
import type { Logger } from "pino";
import type { TlsFiles } from "../embedded/embedded-etcd.ts";

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
  /** The connection, once there is one; stays the same object over reconnections. Rejects when aborted or closed. */
  connection(signal: AbortSignal): Promise<NatsConnection>;
  readonly connected: boolean;
  close(): Promise<void>;
}

export function openNats(_options: NatsOptions): NatsLink {
  throw new Error("not written yet");
}

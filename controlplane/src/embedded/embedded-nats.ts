import type { Logger } from "pino";
import type { TlsFiles } from "./embedded-etcd.ts";

export interface EmbeddedNatsOptions {
  /** Folder of our own ("DATA/nats"): JetStream's files, configuration, log file, chosen port, pid of a predecessor. */
  readonly dir: string;
  readonly log: Logger;
  readonly tls?: { readonly server: TlsFiles; readonly client: TlsFiles };
  /** Called whenever a new process has become ready. */
  readonly onStarted?: (process: { readonly pid: number; readonly url: string }) => void;
}

/** A nats-server with JetStream of our own as a supervised child process. */
export class EmbeddedNats {
  constructor(_options: EmbeddedNatsOptions) {}
  /** Resolves when nats-server accepts clients. Throws TesseraError "ServiceUnavailable" (binary missing, does not come up). */
  async start(_signal: AbortSignal): Promise<void> {}
  /** "tls://127.0.0.1:PORT" (or "nats://..."), fixed from the first start on; valid after `start`. */
  get url(): string {
    throw new Error("not written yet");
  }
  get pid(): number | undefined {
    throw new Error("not written yet");
  }
  async close(): Promise<void> {}
}

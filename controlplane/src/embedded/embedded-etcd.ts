import type { Logger } from "pino";

/** PEM files of one side of mutual TLS. */
export interface TlsFiles {
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
}

export interface EmbeddedEtcdOptions {
  /** Folder of our own ("DATA/etcd"): data, log file, chosen ports, pid of a predecessor. */
  readonly dir: string;
  readonly log: Logger;
  /** Both sides of the client port; without it etcd listens in plain text (tests). The server certificate must name 127.0.0.1. */
  readonly tls?: { readonly server: TlsFiles; readonly client: TlsFiles };
  /** Writes are acknowledged before they are on disk: for tests and throw-away clusters. */
  readonly unsafeNoFsync?: boolean;
  /** Called whenever a new process has become ready. */
  readonly onStarted?: (process: { readonly pid: number; readonly url: string }) => void;
}

/** An etcd of our own as a supervised child process. */
export class EmbeddedEtcd {
  constructor(_options: EmbeddedEtcdOptions) {}
  /** Resolves when etcd answers. Throws TesseraError "ServiceUnavailable" (binary missing, does not come up). */
  async start(_signal: AbortSignal): Promise<void> {}
  /** "https://127.0.0.1:PORT", fixed from the first start on; valid after `start`. */
  get url(): string {
    throw new Error("not written yet");
  }
  /** Of the present process; undefined while it is being restarted. */
  get pid(): number | undefined {
    throw new Error("not written yet");
  }
  /** TERM, then KILL. Resolves when the process is gone. */
  async close(): Promise<void> {}
}

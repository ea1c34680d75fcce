import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { TesseraError } from "@tessera/proto";
import type { Logger } from "pino";
import { EtcdClient, type EtcdEndpoints } from "../store/etcd-client.ts";
import { keepPorts } from "./loopback-ports.ts";
import { SupervisedChild } from "./supervised-child.ts";

/** PEM files of one side of mutual TLS. */
export interface TlsFiles {
  readonly caFile: string;
  readonly certFile: string;
  readonly keyFile: string;
}

export interface EmbeddedEtcdOptions {
  /** Folder of our own ("DATA/etcd"): data, log file, chosen ports, identity of the process. */
  readonly dir: string;
  readonly log: Logger;
  /** Both sides of the client port; without it etcd listens in plain text (tests). The server certificate must name localhost. */
  readonly tls?: { readonly server: TlsFiles; readonly client: TlsFiles };
  /** How large the database may grow, default 8 GiB, the most that etcd recommends; beyond it etcd only reads. */
  readonly quotaBytes?: number;
  /** Writes are acknowledged before they are on disk: for tests and throw-away clusters. */
  readonly unsafeNoFsync?: boolean;
  /** Between TERM and KILL, also of a predecessor's process, default 5,000. */
  readonly stopTimeoutMs?: number;
  /** Called whenever a new process has become ready. */
  readonly onStarted?: (process: { readonly pid: number; readonly url: string }) => void;
}

interface Started {
  readonly client: EtcdClient;
  readonly endpoints: EtcdEndpoints;
  readonly url: string;
  readonly peerUrl: string;
}

/** An etcd of our own as a supervised child process. */
export class EmbeddedEtcd {
  readonly #options: EmbeddedEtcdOptions;
  readonly #child: SupervisedChild;
  #started: Started | undefined;

  constructor(options: EmbeddedEtcdOptions) {
    this.#options = options;
    this.#child = new SupervisedChild({
      program: "etcd",
      debianPackage: "etcd-server",
      dir: options.dir,
      log: options.log,
      stopTimeoutMs: options.stopTimeoutMs,
      configure: () => this.#configure(),
      // A linearizable read: the answer means that etcd has a leader and its data.
      probe: async () => void (await this.#present.client.range({ key: "\0", timeoutMs: 500 })),
      onStarted: (pid) => options.onStarted?.({ pid, url: this.url }),
    });
  }

  /** Resolves when etcd answers. Throws TesseraError "ServiceUnavailable" (binary missing, does not come up). Possible again after `close`. */
  async start(signal: AbortSignal): Promise<void> {
    await this.#child.start(signal);
  }

  /** "https://127.0.0.1:PORT", the same from start to start; valid after `start`. */
  get url(): string {
    return this.#present.url;
  }

  /** For `new EtcdClient(...)`; valid after `start`. */
  get endpoints(): EtcdEndpoints {
    return this.#present.endpoints;
  }

  /** The client's certificate was replaced. The server's needs nothing: etcd reads its files at each handshake. */
  async renewed(): Promise<void> {
    const { tls } = this.#options;
    if (tls === undefined || this.#started === undefined) return;
    const client = await readPem(tls.client);
    this.#started.client.renew(client);
    this.#started = { ...this.#started, endpoints: { ...this.#started.endpoints, tls: client } };
  }

  /** Of the present process; undefined while it is being started again. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** TERM, then KILL (or KILL at once). Resolves when the process is gone. */
  async close(how: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<void> {
    await this.#child.close(how);
    this.#started?.client.close();
  }

  async #configure(): Promise<readonly string[]> {
    const { dir, tls } = this.#options;
    const scheme = tls === undefined ? "http" : "https";
    const ports = await keepPorts(join(dir, "ports.json"), ["client", "peer"]);
    const url = `${scheme}://127.0.0.1:${ports.client}`;
    const endpoints: EtcdEndpoints = {
      endpoints: [url],
      keepaliveMs: 2_000,
      // gRPC would ask for the server of the name "127.0.0.1", which is not a name (RFC 6066).
      ...(tls === undefined ? {} : { tls: await readPem(tls.client), serverName: "localhost" }),
    };
    const client = new EtcdClient(endpoints);
    const started = { client, endpoints, url, peerUrl: `${scheme}://127.0.0.1:${ports.peer}` };
    this.#started = started;
    return etcdFlags(this.#options, started);
  }

  get #present(): Started {
    if (this.#started === undefined) throw new TesseraError("InternalError", "the embedded etcd was not started");
    return this.#started;
  }
}

async function readPem(files: TlsFiles): Promise<NonNullable<EtcdEndpoints["tls"]>> {
  const [ca, cert, key] = await Promise.all([readFile(files.caFile), readFile(files.certFile), readFile(files.keyFile)]);
  return { ca, cert, key };
}

function etcdFlags(options: EmbeddedEtcdOptions, { url, peerUrl }: Started): string[] {
  const flags: Record<string, string> = {
    name: "tessera",
    "data-dir": join(options.dir, "data"),
    "listen-client-urls": url,
    "advertise-client-urls": url,
    "listen-peer-urls": peerUrl,
    "initial-advertise-peer-urls": peerUrl,
    "initial-cluster": `tessera=${peerUrl}`,
    // Well behind every watcher: etcd 3.4 can miss a deletion when a watch resumes just at the compacted revision (etcd-io/etcd#18089).
    "auto-compaction-mode": "periodic",
    "auto-compaction-retention": "10m",
    "quota-backend-bytes": String(options.quotaBytes ?? 8 * 1024 ** 3),
    // Etcd 3.4 keeps this many entries in memory; later versions have this default too.
    "snapshot-count": "10000",
    // A cluster of one needs no patience with its leader: a restarted etcd serves after 0.15 s instead of 1.
    "heartbeat-interval": "20",
    "election-timeout": "100",
    // Our clients look for a stalled connection every 2 s.
    "grpc-keepalive-min-time": "1s",
    // The HTTP gateway would call etcd with the server's certificate as a client's, and nobody uses it.
    "enable-grpc-gateway": "false",
    logger: "zap",
    "log-outputs": "stderr",
  };
  if (options.tls !== undefined) {
    const { caFile, certFile, keyFile } = options.tls.server;
    for (const side of ["", "peer-"]) {
      flags[`${side}cert-file`] = certFile;
      flags[`${side}key-file`] = keyFile;
      flags[`${side}trusted-ca-file`] = caFile;
      flags[`${side}client-cert-auth`] = "true";
    }
  }
  if (options.unsafeNoFsync) flags["unsafe-no-fsync"] = "true";
  return Object.entries(flags).map(([name, value]) => `--${name}=${value}`);
}

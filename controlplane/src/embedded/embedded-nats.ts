import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { TesseraError } from "@tessera/proto";
import { connect } from "nats";
import type { Logger } from "pino";
import type { TlsFiles } from "./embedded-etcd.ts";
import { keepPorts } from "./loopback-ports.ts";
import { natsTls } from "./nats-tls.ts";
import { SupervisedChild } from "./supervised-child.ts";

export interface EmbeddedNatsOptions {
  /** Folder of our own ("DATA/nats"): JetStream's files, configuration, log file, chosen port, identity of the process. */
  readonly dir: string;
  readonly log: Logger;
  /** Both sides; without it nats-server listens in plain text (tests). The server certificate must name 127.0.0.1. */
  readonly tls?: { readonly server: TlsFiles; readonly client: TlsFiles };
  /** Called whenever a new process has become ready. */
  readonly onStarted?: (process: { readonly pid: number; readonly url: string }) => void;
}

/** A nats-server with JetStream of our own as a supervised child process. */
export class EmbeddedNats {
  readonly #options: EmbeddedNatsOptions;
  readonly #child: SupervisedChild;
  #url: string | undefined;

  constructor(options: EmbeddedNatsOptions) {
    this.#options = options;
    this.#child = new SupervisedChild({
      program: "nats-server",
      debianPackage: "nats-server",
      dir: options.dir,
      log: options.log,
      configure: () => this.#configure(),
      probe: async () => {
        const connection = await connect({
          servers: this.url,
          tls: natsTls(this.url, options.tls?.client),
          reconnect: false,
          timeout: 1_000,
        });
        await connection.close();
      },
      onStarted: (pid) => options.onStarted?.({ pid, url: this.url }),
    });
  }

  /** Resolves when nats-server accepts clients. Throws TesseraError "ServiceUnavailable" (binary missing, does not come up). */
  async start(signal: AbortSignal): Promise<void> {
    await this.#child.start(signal);
  }

  /** "tls://127.0.0.1:PORT" (or "nats://..."), the same from start to start; valid after `start`. */
  get url(): string {
    if (this.#url === undefined) throw new TesseraError("InternalError", "the embedded nats-server was not started");
    return this.#url;
  }

  /** The certificates were replaced: nats-server reads them when it is told, the client at each connection. */
  renewed(): void {
    this.#child.signal("SIGHUP");
  }

  /** Of the present process; undefined while it is being started again. */
  get pid(): number | undefined {
    return this.#child.pid;
  }

  /** TERM, then KILL (or KILL at once). Resolves when the process is gone. */
  async close(how: "SIGTERM" | "SIGKILL" = "SIGTERM"): Promise<void> {
    await this.#child.close(how);
  }

  async #configure(): Promise<readonly string[]> {
    const { dir, tls } = this.#options;
    const file = join(dir, "nats-server.conf");
    const { client } = await keepPorts(join(dir, "ports.json"), ["client"]);
    this.#url = `${tls === undefined ? "nats" : "tls"}://127.0.0.1:${client}`;
    await writeFile(file, natsConfig(this.#options, client), { mode: 0o600 });
    return ["--config", file];
  }
}

function natsConfig(options: EmbeddedNatsOptions, port: number): string {
  const quoted = JSON.stringify;
  const lines = [
    "# Written by the control plane at each start.",
    "server_name: tessera",
    `listen: ${quoted(`127.0.0.1:${port}`)}`,
    "max_payload: 1MB",
    `jetstream { store_dir: ${quoted(join(options.dir, "jetstream"))}, max_memory_store: 64MB, max_file_store: 2GB }`,
  ];
  if (options.tls !== undefined) {
    const { caFile, certFile, keyFile } = options.tls.server;
    lines.push(
      `tls { ca_file: ${quoted(caFile)}, cert_file: ${quoted(certFile)}, key_file: ${quoted(keyFile)}, verify: true, timeout: 5 }`,
    );
  }
  return `${lines.join("\n")}\n`;
}

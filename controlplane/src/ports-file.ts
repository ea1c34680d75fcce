import type { Logger } from "pino";
import { writeSecretFile } from "./auth/pki.ts";

interface Ports {
  readonly api?: string;
  readonly node?: string;
  readonly etcd?: { readonly pid: number; readonly clientUrl: string };
  readonly nats?: { readonly pid: number; readonly url: string };
}

/** DIR/ports.json: the real ports and the pids of the children, rewritten whenever one of them changes. */
export class PortsFile {
  readonly #path: string;
  readonly #log: Logger;
  #ports: Ports = {};
  #written: Promise<void> = Promise.resolve();

  constructor(path: string, log: Logger) {
    this.#path = path;
    this.#log = log;
  }

  /** Never rejects; a file that cannot be written is in the log. */
  set(change: Ports): Promise<void> {
    this.#ports = { ...this.#ports, ...change };
    const text = `${JSON.stringify(this.#ports, null, 2)}\n`;
    this.#written = this.#written.then(async () => {
      try {
        await writeSecretFile(this.#path, text);
      } catch (error) {
        this.#log.error({ err: error, path: this.#path }, "ports cannot be written");
      }
    });
    return this.#written;
  }
}

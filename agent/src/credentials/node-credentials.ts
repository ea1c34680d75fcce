import { createPrivateKey, X509Certificate } from "node:crypto";
import { mkdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { TesseraError } from "@tessera/proto";
import { writeDurably } from "../images/durable-file.ts";

/** With what a node proves who it is, and what it checks the control plane against. All PEM. */
export interface NodeCredentials {
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
}

/**
 * The folder of a node's credentials: ca.crt, node.crt, node.key, and `control-plane`, the address of the node protocol as it was learned while joining.
 *
 * A new pair is put beside the old one, first node.key.new, then node.crt.new. With the latter the change has happened: should the agent die before both
 * have their names, the next one gives them.
 */
export class CredentialsFolder {
  readonly path: string;

  constructor(path: string) {
    this.path = path;
  }

  /** What is there, after a change that was interrupted is finished; undefined when something is missing. Throws TesseraError "BadRequest" for what cannot be read. */
  async read(): Promise<NodeCredentials | undefined> {
    await this.#finishChange();
    const [ca, cert, key] = await Promise.all(["ca.crt", "node.crt", "node.key"].map((name) => this.#readFile(name)));
    return ca === undefined || cert === undefined || key === undefined ? undefined : { ca, cert, key };
  }

  /** HOST:PORT that was learned while joining. */
  async controlPlane(): Promise<string | undefined> {
    return (await this.#readFile("control-plane"))?.trim();
  }

  /** The key of a change that has begun, or of one that begins now. It is on the disk before anybody hears of it. */
  async stagedKey(make: () => Promise<string>): Promise<string> {
    await mkdir(this.path, { recursive: true, mode: 0o700 });
    const existing = await this.#readFile("node.key.new");
    if (existing !== undefined && isKey(existing)) return existing;
    const key = await make();
    await this.#write("node.key.new", key);
    return key;
  }

  /** For a key that no certificate will come for. */
  async forgetStagedKey(): Promise<void> {
    await rm(join(this.path, "node.key.new"), { force: true });
  }

  /** Completes a join: the certificate belongs to the staged key. */
  async join(joined: { readonly ca: string; readonly cert: string; readonly controlPlane: string }): Promise<void> {
    await this.#write("ca.crt", joined.ca);
    await this.#write("control-plane", `${joined.controlPlane}\n`);
    await this.renew(joined.cert);
  }

  /** From now on the certificate, which belongs to the staged key, is the node's. */
  async renew(cert: string): Promise<void> {
    const staged = await this.#readFile("node.key.new");
    if (staged === undefined || !isPair(cert, staged)) {
      throw new TesseraError("InternalError", "the control plane issued a certificate for another key than was asked for");
    }
    await this.#write("node.crt.new", cert);
    await this.#finishChange();
  }

  async #finishChange(): Promise<void> {
    const cert = await this.#readFile("node.crt.new");
    if (cert === undefined) return;
    const staged = await this.#readFile("node.key.new");
    // The key has its name already when the agent died between the two.
    if (staged !== undefined && isPair(cert, staged)) await this.#rename("node.key.new", "node.key");
    const key = await this.#readFile("node.key");
    if (key !== undefined && isPair(cert, key)) await this.#rename("node.crt.new", "node.crt");
    else await rm(join(this.path, "node.crt.new"));
  }

  async #readFile(name: string): Promise<string | undefined> {
    try {
      return await readFile(join(this.path, name), "utf8");
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw new TesseraError("BadRequest", `cannot read the node's credentials: ${(cause as Error).message}`, { cause });
    }
  }

  async #write(name: string, content: string): Promise<void> {
    await writeDurably(join(this.path, name), Buffer.from(content));
  }

  async #rename(from: string, to: string): Promise<void> {
    await rename(join(this.path, from), join(this.path, to));
  }
}

/** The name in a node's certificate; undefined if it is no node's. */
export function certifiedName(cert: string): string | undefined {
  return /^CN=system:node:(.+)$/m.exec(new X509Certificate(cert).subject)?.[1];
}

function isKey(pem: string): boolean {
  try {
    createPrivateKey(pem);
    return true;
  } catch {
    // Not a key: another one is made.
    return false;
  }
}

function isPair(cert: string, key: string): boolean {
  try {
    return new X509Certificate(cert).checkPrivateKey(createPrivateKey(key));
  } catch {
    // What cannot be parsed belongs to nothing.
    return false;
  }
}

import { randomBytes } from "node:crypto";
import { chmod, mkdir, open, readFile, rename } from "node:fs/promises";
import { dirname, join } from "node:path";
import { CertificateAuthority, type CertificateRequest, type KeyPair } from "./certificate-authority.ts";
import { nodeCertificate } from "./node-certificate.ts";

/**
 * Which CA, by the name of its files. "ca" vouches for users, nodes and the API server; "internal-ca" for etcd, NATS and their one client, so
 * that no certificate of a user or a node opens them.
 */
export type CaName = "ca" | "internal-ca";

/** Names of the files below DIR/pki, each with `.crt` and `.key`. */
export type CertificateName = "server" | "admin" | "etcd" | "etcd-client" | "nats" | "nats-client";

/** A pair and where it lies. */
export interface StoredPair extends KeyPair {
  readonly certFile: string;
  readonly keyFile: string;
}

/** The cluster's certificates: files of mode 0600 in a folder of mode 0700, made once and renewed when they near their end. */
export class Pki {
  readonly dir: string;
  readonly authority: CertificateAuthority;
  readonly caFile: string;

  private constructor(dir: string, ca: CaName, authority: CertificateAuthority) {
    this.dir = dir;
    this.authority = authority;
    this.caFile = join(dir, `${ca}.crt`);
  }

  /** Reads the CA in `dir`, or makes it when there is none. */
  static async open(dir: string, ca: CaName = "ca", now: () => number = Date.now): Promise<Pki> {
    await mkdir(dir, { recursive: true, mode: 0o700 });
    await chmod(dir, 0o700);
    const existing = await Pki.openExisting(dir, ca, now);
    if (existing !== undefined) return existing;
    const authority = await CertificateAuthority.create(`tessera-${ca}`, now);
    await writePair(dir, ca, authority.pair);
    return new Pki(dir, ca, authority);
  }

  /** Reads the CA in `dir`; undefined when the cluster has none yet. */
  static async openExisting(dir: string, ca: CaName = "ca", now: () => number = Date.now): Promise<Pki | undefined> {
    const existing = await readPair(dir, ca);
    return existing && new Pki(dir, ca, await CertificateAuthority.load(existing, now));
  }

  /** The pair of that name, with a new certificate if it is missing, near its end or says something else than `request`. A key that is there stays. */
  async ensure(name: CertificateName, request: CertificateRequest): Promise<StoredPair> {
    const files = { certFile: join(this.dir, `${name}.crt`), keyFile: join(this.dir, `${name}.key`) };
    const existing = await readPair(this.dir, name);
    if (existing && this.authority.serves(existing, request)) return { ...existing, ...files };
    const renewed = existing && (await this.authority.renew(existing, request));
    const pair = renewed ?? (await this.authority.issue(request));
    if (renewed === undefined) await writePair(this.dir, name, pair);
    else await writeSecretFile(files.certFile, pair.certPem);
    return { ...pair, ...files };
  }

  /** Writes ca.crt, node.crt and node.key for an agent: CN system:node:NAME, O system:nodes. */
  async writeNodeCredentials(nodeName: string, outDir: string): Promise<void> {
    await mkdir(outDir, { recursive: true, mode: 0o700 });
    const pair = await this.authority.issue(nodeCertificate(nodeName));
    await writeSecretFile(join(outDir, "ca.crt"), this.authority.pair.certPem);
    await writePair(outDir, "node", pair);
  }
}

/** The key is written first: a crash in between leaves a key without certificate, which counts as nothing. */
async function writePair(dir: string, name: string, pair: KeyPair): Promise<void> {
  await writeSecretFile(join(dir, `${name}.key`), pair.keyPem);
  await writeSecretFile(join(dir, `${name}.crt`), pair.certPem);
}

async function readPair(dir: string, name: string): Promise<KeyPair | undefined> {
  try {
    const [certPem, keyPem] = await Promise.all([readFile(join(dir, `${name}.crt`), "utf8"), readFile(join(dir, `${name}.key`), "utf8")]);
    return { certPem, keyPem };
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** Replaces a file atomically and durably; only its owner can read it. */
export async function writeSecretFile(path: string, content: string): Promise<void> {
  const temporary = join(dirname(path), `.${randomBytes(6).toString("hex")}.tmp`);
  const file = await open(temporary, "wx", 0o600);
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(temporary, path);
}

import { hostname } from "node:os";
import { join } from "node:path";
import { parseHostPort } from "./api/https-server.ts";
import type { CertificateRequest } from "./auth/certificate-authority.ts";
import { type CertificateName, Pki, type StoredPair } from "./auth/pki.ts";
import type { TlsFiles } from "./embedded/embedded-etcd.ts";
import type { ServeSettings } from "./settings.ts";

/** Everything with which the control plane proves what it is, and checks what others say they are. */
export interface Certificates {
  readonly pki: Pki;
  readonly server: StoredPair;
  readonly admin: StoredPair;
  readonly etcd: BothSides;
  readonly nats: BothSides;
  /** All of them. */
  readonly own: readonly StoredPair[];
}

export interface BothSides {
  readonly server: TlsFiles;
  readonly client: TlsFiles;
}

const loopbackNames = ["localhost", "127.0.0.1", "::1"];

/** Reads the certificates, and makes those that are missing or no longer serve, which can be repeated while they are in use. */
export async function ensureCertificates(settings: ServeSettings): Promise<Certificates> {
  const dir = join(settings.dataDir, "pki");
  const [pki, internal] = [await Pki.open(dir, "ca"), await Pki.open(dir, "internal-ca")];
  const hosts = [...settings.listen, ...settings.nodeListen].map((address) => parseHostPort(address).host);
  const names = [
    ...new Set([
      ...hosts,
      ...settings.advertise,
      ...loopbackNames,
      hostname(),
      "kubernetes",
      "kubernetes.default",
      "kubernetes.default.svc",
    ]),
  ].filter((name) => name !== "0.0.0.0" && name !== "::");
  const own: StoredPair[] = [];
  const ensure = async (authority: Pki, name: CertificateName, request: CertificateRequest): Promise<StoredPair> => {
    const pair = await authority.ensure(name, { ...request, lifetimeMs: settings.certificateLifetimeMs });
    own.push(pair);
    return pair;
  };
  const bothSides = async (name: "etcd" | "nats"): Promise<BothSides> => {
    const server = await ensure(internal, name, { commonName: `tessera-${name}`, usages: ["server", "client"], names: loopbackNames });
    const client = await ensure(internal, `${name}-client`, { commonName: `tessera-${name}-client`, usages: ["client"] });
    return { server: toTlsFiles(internal, server), client: toTlsFiles(internal, client) };
  };
  return {
    pki,
    server: await ensure(pki, "server", { commonName: "tessera-controlplane", usages: ["server"], names }),
    admin: await ensure(pki, "admin", { commonName: "tessera-admin", organizations: ["system:masters"], usages: ["client"] }),
    etcd: await bothSides("etcd"),
    nats: await bothSides("nats"),
    own,
  };
}

function toTlsFiles(pki: Pki, pair: StoredPair): TlsFiles {
  return { caFile: pki.caFile, certFile: pair.certFile, keyFile: pair.keyFile };
}

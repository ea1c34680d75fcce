import { hostname } from "node:os";
import { join } from "node:path";
import { parseHostPort } from "./api/https-server.ts";
import { Pki, type StoredPair } from "./auth/pki.ts";
import type { TlsFiles } from "./embedded/embedded-etcd.ts";
import type { ServeSettings } from "./settings.ts";

/** Everything with which the control plane proves what it is, and checks what others say they are. */
export interface Certificates {
  readonly pki: Pki;
  readonly server: StoredPair;
  readonly admin: StoredPair;
  readonly etcd: BothSides;
  readonly nats: BothSides;
}

export interface BothSides {
  readonly server: TlsFiles;
  readonly client: TlsFiles;
}

const loopbackNames = ["localhost", "127.0.0.1", "::1"];

/** Reads the certificates, and makes those that are missing or no longer serve. */
export async function ensureCertificates(settings: ServeSettings): Promise<Certificates> {
  const dir = join(settings.dataDir, "pki");
  const lifetimeMs = settings.certificateLifetimeMs;
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
  const bothSides = async (name: "etcd" | "nats"): Promise<BothSides> => {
    const server = await internal.ensure(name, {
      commonName: `tessera-${name}`,
      usages: ["server", "client"],
      names: loopbackNames,
      lifetimeMs,
    });
    const client = await internal.ensure(`${name}-client`, { commonName: `tessera-${name}-client`, usages: ["client"], lifetimeMs });
    return { server: toTlsFiles(internal, server), client: toTlsFiles(internal, client) };
  };
  return {
    pki,
    server: await pki.ensure("server", { commonName: "tessera-controlplane", usages: ["server"], names, lifetimeMs }),
    admin: await pki.ensure("admin", { commonName: "tessera-admin", organizations: ["system:masters"], usages: ["client"], lifetimeMs }),
    etcd: await bothSides("etcd"),
    nats: await bothSides("nats"),
  };
}

function toTlsFiles(pki: Pki, pair: StoredPair): TlsFiles {
  return { caFile: pki.caFile, certFile: pair.certFile, keyFile: pair.keyFile };
}

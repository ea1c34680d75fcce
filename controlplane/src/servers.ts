import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "pino";
import type { Certificates } from "./certificates.ts";
import { EmbeddedEtcd } from "./embedded/embedded-etcd.ts";
import { EmbeddedNats } from "./embedded/embedded-nats.ts";
import type { PortsFile } from "./ports-file.ts";
import type { EtcdSettings, ServeSettings } from "./settings.ts";
import type { EtcdEndpoints } from "./store/etcd-client.ts";

/** etcd and NATS: our own children, or those that the settings name. */
export function createServers(settings: ServeSettings, certificates: Certificates, ports: PortsFile, log: Logger) {
  const etcd =
    settings.etcd === undefined
      ? new EmbeddedEtcd({
          dir: join(settings.dataDir, "etcd"),
          log: log.child({ part: "etcd" }),
          tls: certificates.etcd,
          onStarted: ({ pid, url }) => ports.set({ etcd: { pid, clientUrl: url } }),
        })
      : undefined;
  const nats =
    settings.natsUrl === undefined
      ? new EmbeddedNats({
          dir: join(settings.dataDir, "nats"),
          log: log.child({ part: "nats" }),
          tls: certificates.nats,
          onStarted: ({ pid, url }) => ports.set({ nats: { pid, url } }),
        })
      : undefined;
  return {
    async startEtcd(signal: AbortSignal): Promise<EtcdEndpoints> {
      if (etcd === undefined) return readEtcdSettings(settings.etcd);
      await etcd.start(signal);
      return etcd.endpoints;
    },
    async startNats(signal: AbortSignal): Promise<string> {
      await nats?.start(signal);
      return settings.natsUrl ?? nats?.url ?? "";
    },
    /** Tells whoever holds certificates of ours that they were replaced; returns how to reach etcd now. */
    async renewed(): Promise<EtcdEndpoints | undefined> {
      await etcd?.renewed();
      nats?.renewed();
      return etcd?.endpoints;
    },
    /** NATS first: who still has something to say of the end says it to etcd. */
    async close(): Promise<void> {
      await nats?.close();
      await etcd?.close();
    },
  };
}

/** An etcd that is not ours, with its files read. */
export async function readEtcdSettings(etcd: EtcdSettings | undefined): Promise<EtcdEndpoints> {
  const { endpoints = [], caFile, certFile, keyFile } = etcd ?? {};
  if (caFile === undefined || certFile === undefined || keyFile === undefined) return { endpoints };
  const [ca, cert, key] = await Promise.all([readFile(caFile), readFile(certFile), readFile(keyFile)]);
  return { endpoints, tls: { ca, cert, key } };
}

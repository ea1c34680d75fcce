import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { TesseraError, tellServiceManagerReady } from "@tessera/proto";
import type { Logger } from "pino";
import { createApi } from "./api/api.ts";
import { formatHostPort, type HttpsServer, parseHostPort } from "./api/https-server.ts";
import { writeKubeconfig } from "./auth/kubeconfig.ts";
import { nodeCertificate } from "./auth/node-certificate.ts";
import { openServiceAccountKey } from "./auth/service-account-key.ts";
import { ServiceAccountTokens } from "./auth/service-account-tokens.ts";
import { TokenTable } from "./auth/tokens.ts";
import { CertificateRenewal } from "./certificate-renewal.ts";
import { type Certificates, ensureCertificates } from "./certificates.ts";
import { type ControlLoop, createControllers, systemClock } from "./controllers/index.ts";
import { keyFileName, openEncryptionKeys } from "./encryption/open-keys.ts";
import { Resealing } from "./encryption/resealing.ts";
import { SecretSealing } from "./encryption/secret-sealing.ts";
import { NatsEvents } from "./events/nats-events.ts";
import { openNats } from "./events/nats-link.ts";
import { NodeJoin } from "./join/node-join.ts";
import { Metrics } from "./metrics/metrics.ts";
import { NodeServer } from "./nodes/index.ts";
import { PortsFile } from "./ports-file.ts";
import { createSystemNamespaces } from "./registry/bootstrap.ts";
import { StoredRegistry } from "./registry/stored-registry.ts";
import { Scheduler } from "./scheduler/index.ts";
import { createServers } from "./servers.ts";
import type { ServeSettings } from "./settings.ts";
import { EtcdClient, type EtcdEndpoints } from "./store/etcd-client.ts";
import { EtcdStore } from "./store/etcd-store.ts";
import { WatchCache } from "./store/watch-cache.ts";
import { type Part, runParts } from "./supervisor.ts";
import { UsageExchange } from "./usage/usage-exchange.ts";
import { UsageStore } from "./usage/usage-store.ts";

const storeRetryMs = 500;

/** Runs a whole control plane until aborted. */
export async function serve(settings: ServeSettings, log: Logger, signal: AbortSignal): Promise<void> {
  const certificates = await ensureCertificates(settings);
  const ports = new PortsFile(join(settings.dataDir, "ports.json"), log);
  const servers = createServers(settings, certificates, ports, log);
  try {
    const [etcd, natsUrl] = await Promise.all([servers.startEtcd(signal), servers.startNats(signal)]);
    signal.throwIfAborted();
    const renewed = () => servers.renewed();
    await runControlPlane({ settings, certificates, ports, etcd, natsUrl, log, signal, renewed });
  } finally {
    await servers.close();
  }
}

interface ControlPlaneOptions {
  readonly settings: ServeSettings;
  readonly certificates: Certificates;
  readonly ports: PortsFile;
  readonly etcd: EtcdEndpoints;
  readonly natsUrl: string;
  readonly log: Logger;
  readonly signal: AbortSignal;
  /** To be called when certificates were replaced; returns how to reach an etcd of our own now. */
  readonly renewed: () => Promise<EtcdEndpoints | undefined>;
}

async function runControlPlane({ settings, certificates, ports, etcd, natsUrl, log, signal, renewed }: ControlPlaneOptions): Promise<void> {
  const { client, store, caches, resealing } = await openStore({ settings, etcd, log, signal });
  const nats = openNats({
    url: natsUrl,
    name: "tessera-controlplane",
    log: log.child({ part: "nats" }),
    ...(settings.natsUrl === undefined ? { tls: certificates.nats.client } : {}),
  });
  const events = new NatsEvents({ nats, log: log.child({ part: "events" }) });
  const registry = new StoredRegistry({ store, caches });
  const clock = systemClock;
  const serviceAccountTokens = new ServiceAccountTokens({
    key: await openServiceAccountKey(join(settings.dataDir, "pki")),
    caches: {
      serviceAccounts: registry.serviceAccounts.cache,
      pods: registry.pods.cache,
      secrets: registry.secrets.cache,
      nodes: registry.nodes.cache,
    },
    now: Date.now,
  });
  const usageStore = new UsageStore({ now: Date.now });
  const usage = new UsageExchange({ nats, store: usageStore, log: log.child({ part: "usage" }) });
  const nodes = new NodeServer({
    registry,
    store,
    events,
    usage,
    clock,
    log: log.child({ part: "nodes" }),
    settings: { listen: settings.nodeListen, clusterCidr: settings.clusterCidr, nodeCidrBits: settings.nodeCidrBits },
    tls: serverTls(certificates),
    serviceAccountTokens,
    certifyNode: (name, request) =>
      certificates.pki.authority.sign(request, { ...nodeCertificate(name), lifetimeMs: settings.nodeCertificateLifetimeMs }),
  });
  const scheduler = new Scheduler({ registry, events, clock, log: log.child({ part: "scheduler" }) });
  const loops: ControlLoop[] = [
    scheduler,
    ...createControllers({
      registry,
      events,
      clock,
      log: log.child({ part: "controllers" }),
      clusterCaPem: certificates.pki.authority.pair.certPem,
    }),
  ];
  const api = createApi({
    registry,
    store,
    caches,
    events,
    usage: usageStore,
    metrics: new Metrics({
      registry,
      sessions: () => nodes.connected.length,
      reportingNodes: () => usageStore.size,
      unreadable: () => caches.unreadable,
    }),
    nodeStreams: nodes,
    scheduling: scheduler,
    log: log.child({ part: "api" }),
    now: Date.now,
    serviceAccountTokens,
    tokens: await TokenTable.open(join(settings.dataDir, "tokens.json")),
    nodeJoin: new NodeJoin({
      secrets: registry.secrets,
      nodes: registry.nodes,
      isConnected: (name) => nodes.isConnected(name),
      authority: certificates.pki.authority,
      lifetimeMs: settings.nodeCertificateLifetimeMs,
      now: Date.now,
      log: log.child({ part: "join" }),
    }),
    nodePort: () => parseHostPort(nodes.addresses[0] ?? "").port,
    listen: settings.listen,
    tls: serverTls(certificates),
  });

  const announced = () => announce(settings, certificates, ports, { api: api.addresses, node: nodes.addresses }, log);
  loops.push(
    new CertificateRenewal({
      certificates,
      ensure: () => ensureCertificates(settings),
      apply: async (next) => {
        api.renewCertificate(serverTls(next));
        nodes.renewServerCertificate(serverTls(next));
        const tls = (await renewed())?.tls;
        if (tls !== undefined) client.renew(tls);
        await writeAdminKubeconfig(settings, next, api.addresses);
      },
      clock,
      log: log.child({ part: "certificates" }),
    }),
  );
  try {
    await runParts(listParts({ caches, resealing, events, usage, registry, nodes, loops, api, announced }), signal, log);
  } finally {
    await nats.close();
    await store.close();
    client.close();
  }
}

/** etcd behind all that reads and writes it. Secrets are sealed on their way. */
async function openStore({ settings, etcd, log, signal }: Pick<ControlPlaneOptions, "settings" | "etcd" | "log" | "signal">) {
  const client = new EtcdClient(etcd);
  try {
    const encryption = { path: join(settings.dataDir, "pki", keyFileName), client, log: log.child({ part: "encryption" }) };
    const keys = await persist(() => openEncryptionKeys(encryption), signal);
    const sealing = new SecretSealing(keys);
    const store = new EtcdStore({ client, sealing });
    const caches = new WatchCache({ client, sealing, log: log.child({ part: "cache" }) });
    return { client, store, caches, resealing: new Resealing({ client, store, sealing, keys, caches, log: encryption.log }) };
  } catch (error) {
    client.close();
    throw error;
  }
}

interface PartsOptions {
  readonly caches: WatchCache;
  readonly resealing: Resealing;
  readonly events: NatsEvents;
  readonly usage: UsageExchange;
  readonly registry: StoredRegistry;
  readonly nodes: NodeServer;
  readonly loops: readonly ControlLoop[];
  readonly api: HttpsServer;
  /** Called when the API serves. */
  readonly announced: () => Promise<void>;
}

/** What runs, and what each needs before it can. */
function listParts({ caches, resealing, events, usage, registry, nodes, loops, api, announced }: PartsOptions): readonly Part[] {
  return [
    {
      name: "cache",
      needs: [],
      run(partSignal, ready) {
        void caches.ready.then(ready);
        return caches.run(partSignal);
      },
    },
    {
      name: "events",
      needs: [],
      run(partSignal, ready) {
        // Events are kept in a queue until NATS is there, so nobody has to wait for it.
        ready();
        return events.run(partSignal);
      },
    },
    { name: usage.name, needs: [], run: (partSignal, ready) => usage.run(partSignal, ready) },
    {
      name: "namespaces",
      needs: ["cache"],
      async run(partSignal, ready) {
        await persist(() => createSystemNamespaces(registry), partSignal);
        ready();
      },
    },
    { name: resealing.name, needs: ["cache"], run: (partSignal, ready) => resealing.run(partSignal, ready) },
    { name: nodes.name, needs: ["cache", "events", "namespaces"], run: (partSignal, ready) => nodes.run(partSignal, ready) },
    ...loops.map((loop) => ({
      name: loop.name,
      needs: ["cache", "events", "namespaces"],
      run: (partSignal: AbortSignal, ready: () => void) => loop.run(partSignal, ready),
    })),
    {
      name: api.name,
      needs: ["cache", "events", "namespaces", nodes.name, ...loops.map((loop) => loop.name)],
      run: (partSignal, ready) =>
        api.run(partSignal, () => {
          void announced().then(ready);
        }),
    },
  ];
}

/** Until it works: what etcd cannot do now it can do later. */
async function persist<T>(action: () => Promise<T>, signal: AbortSignal): Promise<T> {
  for (;;) {
    try {
      return await action();
    } catch (error) {
      if (!(error instanceof TesseraError && ["ServiceUnavailable", "Timeout"].includes(error.reason))) throw error;
      await delay(storeRetryMs, undefined, { signal });
    }
  }
}

/** Says where everything is, for people and for the programs that started this one. */
async function announce(
  settings: ServeSettings,
  certificates: Certificates,
  ports: PortsFile,
  addresses: { api: readonly string[]; node: readonly string[] },
  log: Logger,
): Promise<void> {
  await writeAdminKubeconfig(settings, certificates, addresses.api);
  await ports.set({ api: addresses.api[0] ?? "", node: addresses.node[0] ?? "" });
  log.info({ api: addresses.api, node: addresses.node }, "control plane serves");
  const status = `Kubernetes API at ${addresses.api.join(", ")}, agents at ${addresses.node.join(", ")}`;
  await tellServiceManagerReady(status).catch((error: unknown) => log.error({ err: error }, "systemd could not be told"));
}

async function writeAdminKubeconfig(settings: ServeSettings, certificates: Certificates, [api = ""]: readonly string[]): Promise<void> {
  const { host, port } = parseHostPort(api);
  const isWildcard = host === "0.0.0.0" || host === "::";
  await writeKubeconfig(join(settings.dataDir, "admin.kubeconfig"), {
    server: `https://${isWildcard ? formatHostPort(settings.advertise[0] ?? "127.0.0.1", port) : api}`,
    caPem: certificates.pki.authority.pair.certPem,
    user: certificates.admin,
    name: "tessera",
  });
}

function serverTls({ pki, server }: Certificates): { ca: string; cert: string; key: string } {
  return { ca: pki.authority.pair.certPem, cert: server.certPem, key: server.keyPem };
}

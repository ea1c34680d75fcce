import { generateKeyPairSync } from "node:crypto";
import type { UsageReport } from "@tessera/proto/node";
import { CertificateAuthority, type KeyPair } from "../../auth/certificate-authority.ts";
import { toSigningKey } from "../../auth/jwt.ts";
import { nodeCertificate } from "../../auth/node-certificate.ts";
import { ServiceAccountTokens } from "../../auth/service-account-tokens.ts";
import { type Clock, systemClock } from "../../controllers/clock.ts";
import { RecordedEvents, silentLog } from "../../controllers/testing/fakes.ts";
import { startTestEtcd } from "../../embedded/testing.ts";
import { createSystemNamespaces } from "../../registry/bootstrap.ts";
import { StoredRegistry } from "../../registry/stored-registry.ts";
import { EtcdClient } from "../../store/etcd-client.ts";
import { EtcdStore } from "../../store/etcd-store.ts";
import { WatchCache } from "../../store/watch-cache.ts";
import { NodeServer, type NodeServerSettings } from "../node-server.ts";
import { FakeAgent } from "./fake-agent.ts";

export interface ReportedUsage {
  readonly node: string;
  readonly report: UsageReport;
}

/** A real etcd with the registry on it, and the authority that signs nodes' certificates. */
export class TestControlPlane implements AsyncDisposable {
  readonly store: EtcdStore;
  readonly registry: StoredRegistry;
  readonly authority: CertificateAuthority;
  readonly #stack: AsyncDisposableStack;
  private constructor(store: EtcdStore, registry: StoredRegistry, authority: CertificateAuthority, stack: AsyncDisposableStack) {
    this.store = store;
    this.registry = registry;
    this.authority = authority;
    this.#stack = stack;
  }

  static async start(): Promise<TestControlPlane> {
    const stack = new AsyncDisposableStack();
    const etcd = stack.use(await startTestEtcd());
    const client = new EtcdClient(etcd.endpoints);
    const store = new EtcdStore({ client });
    stack.defer(() => store.close());
    const caches = new WatchCache({ client, log: silentLog });
    const registry = new StoredRegistry({ store, caches });
    const stop = new AbortController();
    const running = caches.run(stop.signal);
    stack.defer(async () => {
      stop.abort();
      await running;
    });
    await caches.ready;
    await createSystemNamespaces(registry);
    return new TestControlPlane(store, registry, await CertificateAuthority.create("test", Date.now), stack);
  }

  /** Removes all nodes and pods, so that no test sees those of another. */
  async clear(): Promise<void> {
    const { pods, nodes } = this.registry;
    for (const { namespace, name } of [...pods.cache.list()]) await pods.remove(namespace, name, { graceSeconds: 0 });
    for (const { name } of [...nodes.cache.list()]) await nodes.remove("", name);
    await pods.cache.waitFor(await this.store.currentRevision());
  }

  /** A node server of its own, which runs until it is disposed of. */
  async serve(options: { settings?: Partial<NodeServerSettings>; clock?: Clock } = {}): Promise<TestNodeServer> {
    const { certPem, keyPem } = await this.authority.issue({ commonName: "nodes", usages: ["server"], names: ["127.0.0.1"] });
    const events = new RecordedEvents();
    const reports: ReportedUsage[] = [];
    const server = new NodeServer({
      registry: this.registry,
      store: this.store,
      events,
      usage: { report: (node, report) => reports.push({ node, report }) },
      log: silentLog,
      clock: options.clock ?? systemClock,
      settings: { listen: ["127.0.0.1:0"], clusterCidr: "10.64.0.0/16", nodeCidrBits: 24, ...options.settings },
      serviceAccountTokens: new ServiceAccountTokens({
        key: toSigningKey(generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey),
        caches: {
          serviceAccounts: this.registry.serviceAccounts.cache,
          pods: this.registry.pods.cache,
          secrets: this.registry.secrets.cache,
          nodes: this.registry.nodes.cache,
        },
        now: Date.now,
      }),
      certifyNode: (name, request) => this.authority.sign(request, nodeCertificate(name)),
      tls: { ca: this.authority.pair.certPem, cert: certPem, key: keyPem },
    });
    const stop = new AbortController();
    let running = Promise.resolve();
    await new Promise<void>((ready, failed) => {
      running = server.run(stop.signal, ready);
      running.catch(failed);
    });
    return new TestNodeServer(this.authority, server, { events, reports }, async () => {
      stop.abort();
      await running;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

export class TestNodeServer implements AsyncDisposable {
  readonly server: NodeServer;
  readonly events: RecordedEvents;
  /** What agents have reported of their use. */
  readonly reports: readonly ReportedUsage[];
  readonly #authority: CertificateAuthority;
  readonly #stop: () => Promise<void>;
  readonly #agents: FakeAgent[] = [];
  constructor(
    authority: CertificateAuthority,
    server: NodeServer,
    heard: { events: RecordedEvents; reports: ReportedUsage[] },
    stop: () => Promise<void>,
  ) {
    this.#authority = authority;
    this.server = server;
    this.events = heard.events;
    this.reports = heard.reports;
    this.#stop = stop;
  }

  /** An agent with the certificate of this node, or with the one given. */
  async agent(nodeName: string, identity?: KeyPair): Promise<FakeAgent> {
    const certificate = identity ?? (await this.certificate(`system:node:${nodeName}`));
    const agent = new FakeAgent({ address: this.server.addresses[0] ?? "", caPem: this.#authority.pair.certPem, identity: certificate });
    this.#agents.push(agent);
    return agent;
  }

  certificate(commonName: string, organization = "system:nodes"): Promise<KeyPair> {
    return this.#authority.issue({ commonName, organizations: [organization], usages: ["client"] });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const agent of this.#agents) agent.close();
    await this.#stop();
  }
}

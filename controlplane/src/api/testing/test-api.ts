import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Event } from "@tessera/proto";
import { pino } from "pino";
import { writeKubeconfig } from "../../auth/kubeconfig.ts";
import { Pki } from "../../auth/pki.ts";
import { openServiceAccountKey } from "../../auth/service-account-key.ts";
import { ServiceAccountTokens } from "../../auth/service-account-tokens.ts";
import { TokenTable } from "../../auth/tokens.ts";
import { systemClock } from "../../controllers/index.ts";
import { startTestEtcd, type TestEtcd } from "../../embedded/testing.ts";
import type { EventStore } from "../../events/events.ts";
import { NodeJoin } from "../../join/node-join.ts";
import { Metrics } from "../../metrics/metrics.ts";
import type { NodeStreams } from "../../nodes/node-streams.ts";
import { createSystemNamespaces } from "../../registry/bootstrap.ts";
import { StoredRegistry } from "../../registry/stored-registry.ts";
import { Scheduler } from "../../scheduler/index.ts";
import { EtcdClient, type EtcdEndpoints, type WatchHandlers } from "../../store/etcd-client.ts";
import { EtcdStore } from "../../store/etcd-store.ts";
import { WatchCache } from "../../store/watch-cache.ts";
import { UsageStore } from "../../usage/usage-store.ts";
import { createApi } from "../api.ts";
import { HttpClient } from "./http-client.ts";

export interface CommandResult {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A real API server over a real etcd, without nodes; gone at the end of the scope. */
export interface TestApi extends AsyncDisposable {
  readonly registry: StoredRegistry;
  readonly etcd: TestEtcd;
  readonly store: EtcdStore;
  readonly url: string;
  /** Folder for the test's own files. */
  readonly dir: string;
  readonly pki: Pki;
  readonly kubeconfig: string;
  /** Events that the API shows. */
  readonly events: Event[];
  /** What the nodes have reported. */
  readonly usage: UsageStore;
  readonly adminToken: string;
  /** With the administrator's certificate. */
  readonly http: HttpClient;
  /** Without any credentials, or with those given. */
  client(credentials?: { cert?: string; key?: string; token?: string }): HttpClient;
  /** Runs the real kubectl as administrator; `input` is its stdin. Never rejects. */
  kubectl(args: readonly string[], input?: string, environment?: { readonly [name: string]: string }): Promise<CommandResult>;
}

export interface TestApiOptions {
  readonly nodeStreams?: NodeStreams;
  /** Instead of those that the test puts into `events`, which cannot be written. */
  readonly events?: EventStore;
  /** Nodes whose agents have a session. */
  readonly connectedNodes?: readonly string[];
  /** Run the scheduler as well; without it pods stay where they are put. */
  readonly schedules?: boolean;
  /** How many changes the watch cache remembers. */
  readonly history?: { readonly events: number; readonly bytes: number };
  /** The watch cache hears of each change so much later. */
  readonly watchLagMs?: number;
}

const noNodes: NodeStreams = { open: () => Promise.reject(new Error("this test has no nodes")) };

export async function startTestApi(options: TestApiOptions = {}): Promise<TestApi> {
  await using cleanup = new AsyncDisposableStack();
  const dir = await mkdtemp(join(tmpdir(), "tessera-api-"));
  cleanup.defer(() => rm(dir, { recursive: true, force: true }));
  const etcd = cleanup.use(await startTestEtcd());
  const log = pino({ level: process.env["TEST_LOG"] ?? "silent" });
  const etcdClient = new EtcdClient(etcd.endpoints);
  cleanup.defer(() => etcdClient.close());
  const store = new EtcdStore({ client: etcdClient });
  const watched = options.watchLagMs === undefined ? etcdClient : new LaggingEtcdClient(etcd.endpoints, options.watchLagMs);
  cleanup.defer(() => watched.close());
  const caches = new WatchCache({ client: watched, log, ...(options.history === undefined ? {} : { history: options.history }) });
  const registry = new StoredRegistry({ store, caches });
  const stop = new AbortController();
  const running: Promise<void>[] = [caches.run(stop.signal)];
  cleanup.defer(async () => {
    stop.abort();
    await Promise.all(running);
  });
  await caches.ready;
  await createSystemNamespaces(registry);

  const pki = await Pki.open(join(dir, "pki"));
  const server = await pki.ensure("server", { commonName: "test", usages: ["server"], names: ["127.0.0.1"] });
  const admin = await pki.ensure("admin", { commonName: "admin", organizations: ["system:masters"], usages: ["client"] });
  const adminToken = "0123456789abcdef-token";
  await writeFile(
    join(dir, "tokens.json"),
    JSON.stringify({ tokens: [{ token: adminToken, name: "token-admin", groups: ["system:masters"] }] }),
  );
  const events: Event[] = [];
  const usage = new UsageStore({ now: Date.now });
  const scheduler = new Scheduler({ registry, events: { record: () => {} }, clock: systemClock, log });
  if (options.schedules === true) running.push(scheduler.run(stop.signal));
  const serviceAccountTokens = new ServiceAccountTokens({
    key: await openServiceAccountKey(dir),
    caches: {
      serviceAccounts: registry.serviceAccounts.cache,
      pods: registry.pods.cache,
      secrets: registry.secrets.cache,
      nodes: registry.nodes.cache,
    },
    now: Date.now,
  });
  const api = createApi({
    serviceAccountTokens,
    registry,
    store,
    caches,
    events: options.events ?? listedEvents(events),
    usage,
    metrics: new Metrics({ registry, sessions: () => 3, reportingNodes: () => usage.size, unreadable: () => caches.unreadable }),
    nodeStreams: options.nodeStreams ?? noNodes,
    scheduling: scheduler,
    nodeJoin: new NodeJoin({
      secrets: registry.secrets,
      nodes: registry.nodes,
      isConnected: (name) => options.connectedNodes?.includes(name) === true,
      authority: pki.authority,
      lifetimeMs: 3_600_000,
      now: Date.now,
      log,
    }),
    nodePort: () => 6444,
    tokens: await TokenTable.open(join(dir, "tokens.json")),
    log,
    now: Date.now,
    freshnessTimeoutMs: 1000,
    listen: ["127.0.0.1:0"],
    tls: { ca: pki.authority.pair.certPem, cert: server.certPem, key: server.keyPem },
  });
  await new Promise<void>((resolve, reject) => running.push(api.run(stop.signal, resolve).catch(reject)));
  const url = `https://${api.addresses[0]}`;
  const kubeconfig = join(dir, "kubeconfig");
  await writeKubeconfig(kubeconfig, { server: url, caPem: pki.authority.pair.certPem, user: admin, name: "test" });
  const ca = pki.authority.pair.certPem;
  const http = new HttpClient({ url, ca, cert: admin.certPem, key: admin.keyPem });
  cleanup.defer(() => http.close());
  const moved = cleanup.move();
  return {
    registry,
    etcd,
    store,
    url,
    dir,
    pki,
    kubeconfig,
    events,
    usage,
    adminToken,
    http,
    client: (credentials) => {
      const created = new HttpClient({ url, ca, ...credentials });
      moved.defer(() => created.close());
      return created;
    },
    kubectl: (args, input, environment = {}) =>
      run("kubectl", args, input, { ...process.env, KUBECONFIG: kubeconfig, KUBECACHEDIR: join(dir, "cache"), ...environment }),
    [Symbol.asyncDispose]: () => moved.disposeAsync(),
  };
}

class LaggingEtcdClient extends EtcdClient {
  readonly #lagMs: number;

  constructor(endpoints: EtcdEndpoints, lagMs: number) {
    super(endpoints);
    this.#lagMs = lagMs;
  }

  override watch(prefix: string, fromRevision: number, handlers: WatchHandlers): () => void {
    const onEvents: WatchHandlers["onEvents"] = (...args) => void setTimeout(() => handlers.onEvents(...args), this.#lagMs);
    return super.watch(prefix, fromRevision, { ...handlers, onEvents });
  }
}

function listedEvents(events: readonly Event[]): EventStore {
  const refuse = () => Promise.reject(new Error("this test has no NATS"));
  return {
    create: refuse,
    replace: refuse,
    remove: refuse,
    list: async (namespace) => ({
      items: events.filter((event) => namespace === "" || event.metadata?.namespace === namespace),
      resourceVersion: "1",
    }),
    async *watch(_namespace, _resourceVersion, signal) {
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
    },
  };
}

function run(program: string, args: readonly string[], input: string | undefined, env: NodeJS.ProcessEnv): Promise<CommandResult> {
  return new Promise((resolve) => {
    const child = execFile(program, args, { env, timeout: 60_000, maxBuffer: 16 * 1024 * 1024 }, (error, stdout, stderr) => {
      const code = error === null ? 0 : typeof error.code === "number" ? error.code : -1;
      resolve({ code, stdout, stderr });
    });
    child.stdin?.end(input ?? "");
  });
}

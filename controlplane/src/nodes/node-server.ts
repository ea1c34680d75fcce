import { setImmediate as nextTurn } from "node:timers/promises";
import { Server, type ServerUnaryCall, type sendUnaryData, status } from "@grpc/grpc-js";
import { type Node, TesseraError } from "@tessera/proto";
import {
  type Hello,
  type NodeMessage,
  NodeServiceService,
  type OpenStream,
  type RenewCertificateRequest,
  type RenewedCertificate,
} from "@tessera/proto/node";
import type { Logger } from "pino";
import type { ServiceAccountTokens } from "../auth/service-account-tokens.ts";
import type { Clock } from "../controllers/clock.ts";
import type { ControlLoop } from "../controllers/control-loop.ts";
import type { EventSink } from "../events/events.ts";
import type { Registry } from "../registry/resource.ts";
import type { CacheEvent } from "../store/cache.ts";
import type { Store } from "../store/store.ts";
import type { UsageSink } from "../usage/usage.ts";
import { AwaitedSessions } from "./awaited-sessions.ts";
import { toGrpcStatus } from "./grpc-status.ts";
import { NodeHealth } from "./node-health.ts";
import { certifiedNodeName } from "./node-identity.ts";
import { NodeLeases } from "./node-leases.ts";
import { NodeMessages } from "./node-messages.ts";
import { NodeRegistrar } from "./node-registrar.ts";
import { isOwnNodeNews, NodeSession, type SessionCall, toPeer } from "./node-session.ts";
import type { NodeStream, NodeStreams } from "./node-streams.ts";
import { PodCidrs } from "./pod-cidrs.ts";
import { type PodChange, PodIndex } from "./pod-index.ts";
import { PodReports } from "./pod-reports.ts";
import { PodTokens } from "./pod-tokens.ts";
import { type Reference, type ReferenceKind, referenceKey } from "./references.ts";
import { RenewableCredentials, type ServerTls } from "./renewable-credentials.ts";
import { refuseCall, StreamBroker, type StreamCall } from "./stream-broker.ts";

type RenewalCall = ServerUnaryCall<RenewCertificateRequest, RenewedCertificate>;
type RenewalAnswer = sendUnaryData<RenewedCertificate>;

const PROTOCOL_VERSION = 1;
const STREAM_ID_KEY = "tessera-stream-id";
/** An agent that dials and says nothing. */
const HELLO_TIMEOUT_MS = 10_000;
/** A Pod object is at most 1.5 MiB in etcd; nothing that an agent sends is larger. */
const MAX_MESSAGE_BYTES = 4 * 1024 * 1024;
/** A connection is dead when it answers nothing for both together: 15 s. */
const KEEPALIVE_MS = 10_000;
const KEEPALIVE_TIMEOUT_MS = 5_000;
const LOADS_PER_TURN = 500;
const CACHE_TIMEOUT_MS = 10_000;

export interface NodeServerSettings {
  /** HOST:PORT to listen on; port 0 takes a free one. */
  readonly listen: readonly string[];
  /** Addresses of all pods of the cluster: "10.64.0.0/16". */
  readonly clusterCidr: string;
  /** Prefix length of each node's share: 24. */
  readonly nodeCidrBits: number;
  /**
   * How long a node may be without a session before it counts as lost, default 10,000: enough for an agent's restart or the control plane's own. A
   * connection that is cut without a word is noticed up to 15 s later.
   */
  readonly sessionGraceMs?: number;
  /** How long an agent may take to open a stream that it was asked for. Default 10,000. */
  readonly streamTimeoutMs?: number;
}

export interface NodeServerDependencies {
  readonly registry: Registry;
  readonly store: Store;
  readonly events: EventSink;
  readonly usage: UsageSink;
  readonly log: Logger;
  readonly clock: Clock;
  readonly settings: NodeServerSettings;
  /** PEM. `ca` signs the certificates of nodes; `cert` and `key` are this server's own, with the names that agents dial. */
  readonly tls: ServerTls;
  readonly serviceAccountTokens: Pick<ServiceAccountTokens, "issue">;
  /** Signs a request of a node for another certificate in its name (both PEM). */
  readonly certifyNode: (nodeName: string, signingRequest: string) => Promise<string>;
}

/**
 * The sessions of all agents: a gRPC server with mutual TLS. A node's certificate says who it is; everything else that an agent says is believed
 * only about that node and the pods bound to it.
 */
export class NodeServer implements ControlLoop, NodeStreams {
  readonly name = "nodes";
  readonly #deps: NodeServerDependencies;
  readonly #sessions = new Map<string, NodeSession>();
  readonly #awaited: AwaitedSessions;
  readonly #pods: PodIndex;
  readonly #streams: StreamBroker;
  readonly #registrar: NodeRegistrar;
  readonly #reports: PodReports;
  readonly #messages: NodeMessages;
  readonly #podTokens: PodTokens;
  readonly #leases: NodeLeases;
  readonly #health: NodeHealth;
  readonly #credentials: RenewableCredentials;
  #addresses: readonly string[] = [];

  constructor(deps: NodeServerDependencies) {
    this.#deps = deps;
    this.#credentials = new RenewableCredentials(deps.tls);
    const { registry, store, events, usage, log, clock, settings } = deps;
    this.#awaited = new AwaitedSessions(clock);
    const hasSession = (node: string) => this.#sessions.has(node);
    this.#pods = new PodIndex((node, uid, change) => this.#onPodChange(node, uid, change));
    this.#podTokens = new PodTokens({
      pods: this.#pods,
      serviceAccounts: registry.serviceAccounts.cache,
      tokens: deps.serviceAccountTokens,
    });
    this.#streams = new StreamBroker({ clock, timeoutMs: settings.streamTimeoutMs ?? 10_000 });
    const { clusterCidr, nodeCidrBits } = settings;
    const podCidrs = new PodCidrs({ store, nodes: registry.nodes.cache, clock, clusterCidr, nodeCidrBits });
    this.#registrar = new NodeRegistrar({ nodes: registry.nodes, podCidrs, events, log, clock });
    this.#reports = new PodReports({ pods: registry.pods, log, clock });
    const [pods, reports, registrar, streams] = [this.#pods, this.#reports, this.#registrar, this.#streams];
    this.#messages = new NodeMessages({ pods, podCache: registry.pods.cache, reports, registrar, streams, events, usage, log, clock });
    this.#leases = new NodeLeases({ registry, log, clock, hasSession });
    this.#health = new NodeHealth({ registry, pods, events, log, clock, hasSession, graceMs: settings.sessionGraceMs ?? 10_000 });
  }

  /** HOST:PORT of each listener, with the real ports; known once `ready` was called. */
  get addresses(): readonly string[] {
    return this.#addresses;
  }

  /** From now on new connections see this certificate; those that stand are left alone. */
  renewServerCertificate(tls: ServerTls): void {
    this.#credentials.renew(tls);
  }

  isConnected(nodeName: string): boolean {
    return this.#sessions.has(nodeName);
  }

  /** Names of the nodes that have a session. */
  get connected(): readonly string[] {
    return [...this.#sessions.keys()];
  }

  async run(signal: AbortSignal, ready?: () => void): Promise<void> {
    const unsubscribe = this.#subscribe();
    const stop = new AbortController();
    const loops = Promise.all([this.#leases.run(stop.signal), this.#health.run(stop.signal)]);
    const server = this.#createServer();
    try {
      await this.#loadPods(signal);
      this.#addresses = await this.#listen(server);
      for (const node of this.#deps.registry.nodes.cache.list()) this.#health.look(node.name);
      for (const lease of this.#deps.registry.leases.cache.list("kube-node-lease")) this.#leases.look(lease.name);
      this.#deps.log.info({ addresses: this.#addresses }, "waiting for agents");
      ready?.();
      await new Promise<void>((resolve) => {
        if (signal.aborted) resolve();
        else signal.addEventListener("abort", () => resolve(), { once: true });
      });
    } finally {
      stop.abort();
      for (const unlisten of unsubscribe) unlisten();
      for (const session of [...this.#sessions.values()]) this.#end(session, status.UNAVAILABLE, "the control plane stops");
      // Let the reasons go out.
      await nextTurn();
      server.forceShutdown();
      await Promise.all([this.#reports.close(), this.#registrar.drain(), loops]);
    }
  }

  async open(nodeName: string, request: NonNullable<OpenStream["request"]>, signal: AbortSignal): Promise<NodeStream> {
    if (!this.#sessions.has(nodeName)) await this.#awaited.wait(nodeName, this.#health.graceLeftMs(nodeName), signal);
    const session = this.#sessions.get(nodeName);
    if (!session) throw new TesseraError("ServiceUnavailable", `node "${nodeName}" is not connected: its agent has no session`);
    return this.#streams.open(nodeName, request, (message) => session.askForStream(message), signal);
  }

  #createServer(): Server {
    const server = new Server({
      "grpc.max_receive_message_length": MAX_MESSAGE_BYTES,
      "grpc.max_send_message_length": -1,
      "grpc.keepalive_time_ms": KEEPALIVE_MS,
      "grpc.keepalive_timeout_ms": KEEPALIVE_TIMEOUT_MS,
    });
    server.addService(NodeServiceService, {
      session: (call: SessionCall) => this.#serveSession(call),
      stream: (call: StreamCall) => this.#serveStream(call),
      renewCertificate: (call: RenewalCall, answer: RenewalAnswer) => this.#renewCertificate(call, answer),
    });
    return server;
  }

  async #listen(server: Server): Promise<string[]> {
    return Promise.all(
      this.#deps.settings.listen.map(
        (address) =>
          new Promise<string>((resolve, reject) => {
            server.bindAsync(address, this.#credentials, (error, port) => {
              if (error) reject(new TesseraError("ServiceUnavailable", `cannot listen for agents on ${address}`, { cause: error }));
              else resolve(address.replace(/:\d+$/, `:${port}`));
            });
          }),
      ),
    );
  }

  #subscribe(): (() => void)[] {
    const { pods, nodes, configMaps, secrets, serviceAccounts } = this.#deps.registry;
    return [
      pods.cache.onChange((event) => this.#pods.apply(event)),
      nodes.cache.onChange((event) => this.#onNode(event)),
      configMaps.cache.onChange(({ object }) => this.#onReferenced("ConfigMap", object)),
      secrets.cache.onChange(({ object }) => this.#onReferenced("Secret", object)),
      serviceAccounts.cache.onChange(({ type, object }) => {
        if (type === "ADDED") for (const session of this.#sessions.values()) session.accountAdded(object.namespace, object.name);
      }),
    ];
  }

  async #loadPods(signal: AbortSignal): Promise<void> {
    const cache = this.#deps.registry.pods.cache;
    const listed = [...cache.list()];
    for (const [i, { namespace, name }] of listed.entries()) {
      if (signal.aborted) return;
      const pod = cache.get(namespace, name);
      if (pod) this.#pods.load(pod);
      if (i % LOADS_PER_TURN === LOADS_PER_TURN - 1) await nextTurn();
    }
  }

  #onPodChange(node: string, uid: string, change: PodChange): void {
    this.#sessions.get(node)?.podChanged(uid, change);
    if (change === "gone" && !this.#deps.registry.nodes.cache.get("", node)) this.#pods.forgetNode(node);
  }

  #onReferenced(kind: ReferenceKind, { namespace, name }: { namespace: string; name: string }): void {
    const reference: Reference = { kind, namespace, name };
    for (const node of this.#pods.nodesNaming(referenceKey(reference))) this.#sessions.get(node)?.referenceChanged(reference);
  }

  #referenced({ kind, namespace, name }: Reference, node: string): Buffer | undefined {
    const { registry } = this.#deps;
    if (kind === "ServiceAccountToken") return this.#podTokens.make(node, name);
    return (kind === "Secret" ? registry.secrets : registry.configMaps).cache.get(namespace, name)?.bytes;
  }

  #onNode({ type, object, previous }: CacheEvent<Node>): void {
    const isDeleted = type === "DELETED";
    const before = previous && toPeer(previous.name, previous.value);
    const after = isDeleted ? undefined : toPeer(object.name, object.value);
    if (before?.nodeAddress !== after?.nodeAddress || before?.podCidr !== after?.podCidr) {
      for (const session of this.#sessions.values()) session.tellPeers();
    }
    if (!isDeleted && isOwnNodeNews(previous?.value, object.value)) this.#sessions.get(object.name)?.tellOwnNode();
    if (!isDeleted && previous) return;
    this.#health.look(object.name);
    this.#leases.look(object.name);
    if (!isDeleted) return;
    this.#pods.forgetNode(object.name);
    const session = this.#sessions.get(object.name);
    // An agent that runs stands for a node: it says Hello again and so makes a new Node.
    if (session) this.#end(session, status.ABORTED, `Node "${object.name}" was deleted`);
  }

  #serveStream(call: StreamCall): void {
    try {
      const node = certifiedNodeName(call.getAuthContext());
      const [streamId] = call.metadata.get(STREAM_ID_KEY);
      if (typeof streamId !== "string") throw new TesseraError("BadRequest", `metadata "${STREAM_ID_KEY}" is missing`);
      this.#streams.accept(node, streamId, call);
    } catch (error) {
      this.#deps.log.warn({ err: error, peer: call.getPeer() }, "a stream is refused");
      const { code, details } = toGrpcStatus(error);
      refuseCall(call, code, details);
    }
  }

  #renewCertificate(call: RenewalCall, answer: RenewalAnswer): void {
    const { log, certifyNode } = this.#deps;
    const renew = async () => {
      const node = certifiedNodeName(call.getAuthContext());
      const certificate = await certifyNode(node, call.request.certificateSigningRequest);
      log.info({ node }, "a node's certificate is renewed");
      return { certificate };
    };
    renew().then(
      (renewed) => answer(null, renewed),
      (error: unknown) => {
        log.warn({ err: error, peer: call.getPeer() }, "a certificate is not renewed");
        answer(toGrpcStatus(error));
      },
    );
  }

  #serveSession(call: SessionCall): void {
    let session: NodeSession | undefined;
    const refuse = (error: unknown): void => {
      this.#deps.log.warn({ err: error, node: session?.nodeName, peer: call.getPeer() }, "a session is refused");
      const { code, details } = toGrpcStatus(error);
      if (session) this.#end(session, code, details);
      else call.emit("error", { code, details });
    };
    const cancelTimer = this.#deps.clock.after(HELLO_TIMEOUT_MS, () => {
      if (!session) refuse(new TesseraError("Timeout", `no Hello within ${HELLO_TIMEOUT_MS} ms`));
    });
    call.on("data", (message: NodeMessage) => {
      try {
        if (session) {
          if (session.ended) return;
          const { message: said } = message;
          if (said?.$case === "refreshToken") session.referenceChanged({ kind: "ServiceAccountToken", ...said.value });
          else this.#messages.handle(session.nodeName, message);
          return;
        }
        cancelTimer();
        const hello = checkHello(message, certifiedNodeName(call.getAuthContext()));
        if (hello.protocolVersion !== PROTOCOL_VERSION) {
          const details = `this control plane speaks version ${PROTOCOL_VERSION} of the node protocol, the agent version ${hello.protocolVersion}`;
          call.emit("error", { code: status.FAILED_PRECONDITION, details });
          return;
        }
        session = this.#begin(hello.nodeName, call);
        this.#admit(session, hello, call).catch(refuse);
      } catch (error) {
        refuse(error);
      }
    });
    const over = (): void => {
      cancelTimer();
      if (session) this.#end(session, status.OK, "");
      else call.end();
    };
    call.once("end", over);
    call.once("cancelled", over);
  }

  #begin(nodeName: string, call: SessionCall): NodeSession {
    const older = this.#sessions.get(nodeName);
    const { registry } = this.#deps;
    const session = new NodeSession({
      nodeName,
      call,
      view: {
        pods: this.#pods,
        nodes: () => registry.nodes.cache.list(),
        node: (name) => registry.nodes.cache.get("", name),
        referenced: (reference, node) => this.#referenced(reference, node),
      },
    });
    // From here on the node counts as alive: whoever wants to mark it as lost decides again.
    this.#sessions.set(nodeName, session);
    this.#awaited.begun(nodeName);
    if (older) this.#end(older, status.ABORTED, "replaced by a newer session of the same node");
    return session;
  }

  async #admit(session: NodeSession, hello: Hello, call: SessionCall): Promise<void> {
    call.pause();
    const { store, registry, settings, log } = this.#deps;
    const node = await this.#registrar.register(hello);
    // The agent ends what Welcome does not name: the list must be as new as anything that the agent was ever told. And it is told of its Node
    // as it is registered now: without the taints of its silence.
    const revision = await store.currentRevision();
    const { pods, nodes } = registry;
    await Promise.all([pods, nodes].map(({ cache }) => cache.waitFor(revision, { timeoutMs: CACHE_TIMEOUT_MS })));
    if (session.ended) return;
    const podCidr = node.spec?.podCIDR ?? "";
    session.welcome({ podCidr, clusterCidr: settings.clusterCidr }, hello);
    log.info({ node: session.nodeName, podCidr, held: hello.pods.length, peer: call.getPeer() }, "session begins");
    this.#leases.look(session.nodeName);
    this.#health.look(session.nodeName);
    call.resume();
  }

  #end(session: NodeSession, code: status, details: string): void {
    const isCurrent = this.#sessions.get(session.nodeName) === session;
    if (isCurrent) this.#sessions.delete(session.nodeName);
    if (session.ended) return;
    session.end(code, details);
    this.#streams.lost(session.nodeName);
    this.#health.look(session.nodeName);
    this.#deps.log.info({ node: session.nodeName, code: status[code], details }, "session ended");
  }
}

/** Throws TesseraError when the first message does not open a session of this node. */
function checkHello({ message }: NodeMessage, certifiedName: string): Hello {
  if (message?.$case !== "hello") throw new TesseraError("BadRequest", "the first message must be Hello");
  const hello = message.value;
  if (hello.nodeName !== certifiedName) {
    throw new TesseraError("Forbidden", `the certificate is that of node "${certifiedName}", Hello says "${hello.nodeName}"`);
  }
  return hello;
}

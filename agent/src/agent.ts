import { mkdir } from "node:fs/promises";
import type { ChannelCredentials } from "@grpc/grpc-js";
import type { CarriedServiceAccountToken, Node, NodeStatus, Pod } from "@tessera/proto";
import type { ControlMessage, Hello, Peer, ReferencedObject, Welcome } from "@tessera/proto/node";
import type { HostFiles, NodeNetwork, PeerNode, Runtime } from "@tessera/runtime-native";
import type { Logger } from "pino";
import type { Clock } from "./clock.ts";
import type { CertificateRenewal } from "./credentials/renewal.ts";
import { DiskGuard } from "./disk/disk-guard.ts";
import { type DiskSettings, readDisk } from "./disk/disk-use.ts";
import { measurePods, usedImages } from "./disk/pods-on-disk.ts";
import type { ImagePuller, ImageRemoval, ImageStore } from "./images/index.ts";
import { AddressPool } from "./network/addresses.ts";
import { readNetworkFile, writeNetworkFile } from "./network/network-file.ts";
import { PodNetworks } from "./network/pod-networks.ts";
import type { NodeFacts } from "./node-facts.ts";
import { podTokens } from "./objects/pod-references.ts";
import { isReferencedKind, keyOf, type ReferencedContent, ReferencedObjects } from "./objects/referenced-objects.ts";
import { TokenRenewal } from "./objects/token-renewal.ts";
import { dataPaths } from "./paths.ts";
import { type AdmittingNode, admissionRefusal } from "./pod/admission.ts";
import type { PodEvent, PodReports } from "./pod/dependencies.ts";
import { Pods } from "./pod/pods.ts";
import { PodStore } from "./pod/store.ts";
import type { WantedPod } from "./pod/wanted.ts";
import { AccountReader } from "./process/user.ts";
import { NodeSession, type SessionHandler, type StreamCall } from "./session/node-session.ts";
import { type NodeIdentity, nodeLabels, nodeStatus, pressuresOf } from "./session/node-status.ts";
import { Outbox } from "./session/outbox.ts";
import { readNodeUsage } from "./stats/node-usage.ts";
import { runningContainers } from "./stats/running-containers.ts";
import { UsageSampler } from "./stats/usage-sampler.ts";
import { Streams } from "./streams/streams.ts";
import { Volumes } from "./volumes/volumes.ts";

export interface AgentParts {
  readonly node: NodeFacts;
  readonly identity: NodeIdentity;
  /** Folder for all that must outlive the agent. */
  readonly dataDir: string;
  readonly runtime: Runtime;
  readonly network: NodeNetwork;
  readonly hostFiles: HostFiles;
  readonly images: ImageStore & ImagePuller & ImageRemoval;
  /** When images and pods go because the disk fills up. */
  readonly disk: DiskSettings;
  readonly clock: Clock;
  readonly random: () => number;
  /** How often what the node and its containers use is reported. */
  readonly usageIntervalMs: number;
  readonly log: Logger;
  /** HOST:PORT of the control plane, and how to prove to it who we are. */
  readonly controlPlane: { readonly target: string; readonly credentials: () => ChannelCredentials };
  /** Absent where there is no certificate, in tests. */
  readonly renewal?: Pick<CertificateRenewal, "run">;
}

type ControlCase = NonNullable<ControlMessage["message"]>;
/** A message without hearer does not compile. */
type Hearers = { [K in ControlCase["$case"]]: (value: Extract<ControlCase, { $case: K }>["value"]) => void };

/**
 * One node's agent: its pods, what they need, and the session with the control plane. Nothing here is global, so that many agents can live
 * in one process.
 */
export class Agent {
  readonly #parts: AgentParts;
  readonly #objects = new ReferencedObjects();
  readonly #outbox = new Outbox();
  readonly #addresses: AddressPool;
  readonly #networks: PodNetworks;
  readonly #pods: Pods;
  readonly #streams: Streams;
  readonly #usage: UsageSampler;
  readonly #diskGuard: DiskGuard;
  readonly #tokens: TokenRenewal;
  readonly #networkPath: string;
  #peers: readonly PeerNode[] = [];
  #cidrs: { podCidr: string; clusterCidr: string } | undefined;
  #savingNetwork: Promise<void> = Promise.resolve();
  readonly #hearers: Hearers = {
    welcome: (welcome) => this.#welcomed(welcome),
    assignPod: ({ pod }) => this.#assign(pod),
    releasePod: ({ uid }) => this.#release(uid),
    referencedObject: (object) => this.#takeObject(object),
    peers: ({ peers }) => this.#setPeers(peers),
    ownNode: ({ node }) => (this.#ownNode = JSON.parse(node.toString()) as Node),
    synced: () => this.#pods.keepOnly(this.#mentioned),
    // Taken by the session itself.
    openStream: () => undefined,
  };
  /** Pods that the control plane has named in the present session. */
  #mentioned = new Set<string>();
  #nodeStatus: NodeStatus | undefined;
  /** As the control plane has last told of it. */
  #ownNode: Node | undefined;

  constructor(parts: AgentParts) {
    this.#parts = parts;
    const { runtime, hostFiles, images, clock, log, node, dataDir } = parts;
    const paths = dataPaths(dataDir);
    this.#networkPath = paths.network;
    this.#tokens = new TokenRenewal({
      clock,
      random: parts.random,
      request: ({ namespace, name }) => this.#outbox.refreshToken({ namespace, name }),
    });
    this.#addresses = new AddressPool(paths.addresses);
    this.#networks = new PodNetworks({
      network: parts.network,
      clock,
      log,
      onChange: () => this.#networkChanged(),
      onPortsClosed: () => this.#pods.poke("hostPorts"),
      podName: (uid) => {
        const pod = this.#pods.get(uid)?.want;
        return pod && `${pod.namespace}/${pod.name}`;
      },
    });
    this.#pods = new Pods({
      runtime,
      network: this.#networks,
      hostFiles,
      images,
      accounts: new AccountReader(),
      addresses: this.#addresses,
      volumes: new Volumes({ hostFiles, objects: this.#objects }),
      objects: this.#objects,
      node,
      clock,
      log,
      reports: this.#reports(),
      store: new PodStore(paths.pods),
      // What the control plane no longer knows goes as soon as this session has told all; it keeps nobody out.
      refusalOf: (pod, others) =>
        admissionRefusal(
          pod,
          this.#admittingNode(),
          others.flatMap(({ uid, footprint }) => (this.#mentioned.has(uid) ? [footprint] : [])),
        ),
    });
    const onImages = (names: readonly string[]) => this.#imagesLoaded(names);
    this.#streams = new Streams({ pods: this.#pods, runtime, images, outbox: this.#outbox, clock, log, onImages });
    this.#usage = new UsageSampler({
      runtime,
      running: () => runningContainers(this.#pods.all()),
      readNode: readNodeUsage,
      send: (report) => this.#outbox.usage(report),
      clock,
      intervalMs: parts.usageIntervalMs,
      log,
    });
    this.#diskGuard = new DiskGuard({
      settings: parts.disk,
      readDisk: () => readDisk(dataDir),
      images,
      usedImages: () => usedImages(this.#pods),
      measurePods: (signal) => measurePods(this.#pods, signal),
      evict: (uid, message) => this.#pods.get(uid)?.evict(message, true),
      isLeft: (uid) => this.#pods.get(uid)?.isHolding === true,
      onChange: () => void this.#reportNode(),
      event: (type, reason, message) => this.#tellOfNode(type, reason, message),
      clock,
      log,
    });
  }

  get pods(): Pods {
    return this.#pods;
  }

  /**
   * Runs until the signal is aborted. First finds again what an earlier agent left, then looks after it, with or without a control plane.
   * `ready` is called once pods are looked after.
   */
  async run(signal: AbortSignal, ready: () => void = () => undefined): Promise<void> {
    const { dataDir, runtime, network, log } = this.#parts;
    await mkdir(dataDir, { recursive: true, mode: 0o700 });
    await this.#recallNetwork();
    await this.#pods.recover(signal);
    this.#addresses.onFreed(() => this.#pods.poke("addresses"));
    this.#pods.start();
    this.#diskGuard.start();
    this.#nodeStatus = await this.#currentStatus();
    ready();
    const session = this.#session();
    const renewing = this.#parts.renewal?.run(session, signal);
    try {
      await session.run(signal);
      await renewing;
    } finally {
      this.#tokens.stop();
      await this.#usage.stop();
      await this.#diskGuard.stop();
      await this.#pods.stop();
      await this.#networks.stop();
      await this.#savingNetwork;
      await runtime.close();
      await network.close();
      log.info("agent stopped; its pods live on");
    }
  }

  #session(): NodeSession {
    const { clock, random, log, controlPlane } = this.#parts;
    const handler: SessionHandler = {
      hello: () => this.#hello(),
      message: (message) => this.#hear(message),
      openStream: (request, dial: () => StreamCall) => this.#streams.open(request, dial),
      connected: (isConnected) => {
        const droppedEvents = isConnected ? this.#outbox.takeDropped() : 0;
        if (droppedEvents > 0) log.warn({ droppedEvents }, "Events were dropped while there was no control plane");
        log.info({ controlPlane: controlPlane.target }, isConnected ? "connected" : "disconnected");
        if (isConnected) this.#usage.start();
        else void this.#usage.stop();
      },
    };
    return new NodeSession({ ...controlPlane, handler, outbox: this.#outbox, clock, random, log });
  }

  #hello(): Omit<Hello, "protocolVersion"> {
    const { node, identity } = this.#parts;
    const held = this.#pods.all().map(({ want: { uid, namespace, name, pod } }) => ({
      uid,
      namespace,
      name,
      resourceVersion: pod.metadata?.resourceVersion ?? "",
    }));
    return {
      nodeName: node.name,
      nodeStatus: Buffer.from(JSON.stringify(this.#nodeStatus ?? {})),
      labels: nodeLabels(node, identity),
      pods: held,
    };
  }

  #hear(message: NonNullable<ControlMessage["message"]>): void {
    // The table's entry for the message's kind takes its value; TypeScript cannot follow the correlation through the index.
    (this.#hearers[message.$case] as (value: typeof message.value) => void)(message.value);
  }

  #assign(json: Buffer): void {
    const pod = JSON.parse(json.toString()) as Pod;
    this.#mentioned.add(pod.metadata?.uid ?? "");
    this.#pods.assign(pod);
  }

  #admittingNode(): AdmittingNode {
    const { name, allowedUnsafeSysctls } = this.#parts.node;
    const { metadata, spec, status } = this.#ownNode ?? {};
    const object = this.#ownNode && { name, labels: metadata?.labels ?? {}, taints: spec?.taints ?? [] };
    // The agent's own account of what it has is the newer one; resources that it knows nothing of are others'.
    const allocatable = { ...status?.allocatable, ...this.#nodeStatus?.allocatable };
    return { allowedUnsafeSysctls, allocatable, pressures: pressuresOf(this.#nodeStatus), object };
  }

  #release(uid: string): void {
    this.#mentioned.delete(uid);
    this.#pods.release(uid);
  }

  #setPeers(peers: readonly Peer[]): void {
    this.#peers = peers.map(({ nodeAddress, podCidr }) => ({ nodeAddress, podCidr }));
    this.#networks.setPeers(this.#peers);
    this.#saveNetwork();
  }

  #welcomed({ podCidr, clusterCidr, podUids }: Welcome): void {
    this.#mentioned = new Set(podUids);
    // Every object that our pods name is sent again in this session.
    this.#objects.keepOnly(this.#pods.references());
    this.#configureNetwork(podCidr, clusterCidr);
    this.#saveNetwork();
  }

  #configureNetwork(podCidr: string, clusterCidr: string): void {
    this.#cidrs = { podCidr, clusterCidr };
    this.#addresses.setRange(podCidr);
    this.#networks.configure({ podCidr, clusterCidr, nodeAddress: this.#parts.node.addresses[0] ?? "", nodeDevice: "" });
  }

  async #recallNetwork(): Promise<void> {
    const known = await readNetworkFile(this.#networkPath);
    if (known === undefined) return;
    this.#peers = known.peers;
    this.#configureNetwork(known.podCidr, known.clusterCidr);
    this.#networks.setPeers(known.peers);
  }

  #saveNetwork(): void {
    const { log } = this.#parts;
    const cidrs = this.#cidrs;
    if (cidrs === undefined) return;
    const content = { ...cidrs, peers: this.#peers };
    this.#savingNetwork = this.#savingNetwork
      .then(() => writeNetworkFile(this.#networkPath, content))
      .catch((error: unknown) => log.error({ err: error }, "could not remember the network"));
  }

  #takeObject({ kind, namespace, name, object }: ReferencedObject): void {
    if (!isReferencedKind(kind)) return;
    const key = { kind, namespace, name };
    const parsed = object === undefined ? undefined : (JSON.parse(object.toString()) as ReferencedContent);
    if (kind === "ServiceAccountToken" && !this.#tokens.received(key, parsed as CarriedServiceAccountToken | undefined)) return;
    if (this.#objects.set(key, parsed)) this.#pods.objectsChanged(new Set([keyOf(key)]));
  }

  #networkChanged(): void {
    this.#pods.poke("network");
    void this.#reportNode();
  }

  #imagesLoaded(names: readonly string[]): void {
    this.#parts.log.info({ images: names }, "images loaded");
    this.#pods.poke("images");
    void this.#reportNode();
  }

  async #reportNode(): Promise<void> {
    try {
      this.#nodeStatus = await this.#currentStatus();
      this.#outbox.nodeStatus(Buffer.from(JSON.stringify(this.#nodeStatus)));
    } catch (error) {
      this.#parts.log.error({ err: error }, "could not put the node's status together");
    }
  }

  async #currentStatus(): Promise<NodeStatus> {
    const { node, identity, images, clock } = this.#parts;
    const networkFailure = this.#networks.failure;
    const { hasPressure: hasDiskPressure } = this.#diskGuard;
    return nodeStatus({
      node,
      identity,
      images: await images.list(),
      networkFailure,
      hasDiskPressure,
      before: this.#nodeStatus,
      nowMs: clock.now(),
    });
  }

  #tellOfNode(type: "Normal" | "Warning", reason: string, message: string): void {
    const { node, clock } = this.#parts;
    const time = new Date(clock.now()).toISOString();
    // As the kubelet does: events about a node carry its name for a uid.
    this.#outbox.event({ kind: "Node", namespace: "", name: node.name, uid: node.name, type, reason, message, time, fieldPath: "" });
  }

  #reports(): PodReports {
    const { clock } = this.#parts;
    return {
      status: (want, status) => this.#outbox.status(nameOf(want), status),
      gone: (want) => {
        for (const key of podTokens(want.pod)) {
          this.#tokens.forget(key);
          this.#objects.forget(key);
        }
        this.#outbox.gone(nameOf(want));
      },
      imagesChanged: () => void this.#reportNode(),
      event: (want, event: PodEvent) =>
        this.#outbox.event({ kind: "Pod", ...nameOf(want), ...event, time: new Date(clock.now()).toISOString() }),
    };
  }
}

function nameOf({ uid, namespace, name }: WantedPod) {
  return { uid, namespace, name };
}

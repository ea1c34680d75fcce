import { isDeepStrictEqual } from "node:util";
import { type ServerDuplexStream, status } from "@grpc/grpc-js";
import type { Node } from "@tessera/proto";
import type { ControlMessage, Hello, NodeMessage, OpenStream, Peer } from "@tessera/proto/node";
import type { CachedObject } from "../store/cache.ts";
import { Outbox } from "./outbox.ts";
import type { BoundPod, PodChange, PodIndex } from "./pod-index.ts";
import { type Reference, referenceKey } from "./references.ts";

export type SessionCall = ServerDuplexStream<NodeMessage, ControlMessage>;

/** What a session reads; everything is asked at the moment of sending. */
export interface SessionView {
  readonly pods: PodIndex;
  /** The JSON of the object; undefined if there is none. `nodeName` says for whom a token would be. */
  referenced(reference: Reference, nodeName: string): Buffer | undefined;
  /** All nodes of the cluster. */
  nodes(): Iterable<CachedObject<Node>>;
  node(name: string): CachedObject<Node> | undefined;
}

/** The answer to Hello. */
export interface Admission {
  readonly podCidr: string;
  readonly clusterCidr: string;
}

/**
 * The sending half of one agent's session. It holds no state of its own about pods: it marks what the node should hear of, and what is then sent is
 * made from the caches when the connection takes it.
 */
export class NodeSession {
  readonly nodeName: string;
  readonly #call: SessionCall;
  readonly #view: SessionView;
  readonly #outbox: Outbox;
  #welcomed = false;
  #ended = false;
  constructor(deps: { nodeName: string; call: SessionCall; view: SessionView }) {
    this.nodeName = deps.nodeName;
    this.#call = deps.call;
    this.#view = deps.view;
    this.#outbox = new Outbox((message) => this.#call.write(message));
    this.#call.on("drain", () => this.#outbox.drained());
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Tells the node all that it does not know already; from now on it hears of changes. */
  welcome(admission: Admission, hello: Hello): void {
    const pods = this.#view.pods.podsOf(this.nodeName);
    const podUids = [...pods.keys()];
    this.#welcomed = true;
    this.#outbox.add("welcome", () => ({ $case: "welcome", value: { ...admission, podUids } }));
    this.tellPeers();
    this.tellOwnNode();
    const held = new Map(hello.pods.map((pod) => [pod.uid, Number(pod.resourceVersion)]));
    for (const pod of pods.values()) {
      this.#tellReferences(pod);
      const heldRevision = held.get(pod.object.uid) ?? 0;
      if (!(heldRevision >= pod.contentRevision)) this.#tellPod(pod.object.uid);
    }
    this.#outbox.add("synced", () => ({ $case: "synced", value: {} }));
  }

  /** Something that the node must hear of has happened to one of its pods. */
  podChanged(uid: string, change: PodChange): void {
    if (!this.#welcomed) return;
    const pod = this.#view.pods.get(this.nodeName, uid);
    if (!pod) {
      this.#outbox.add(`pod/${uid}`, () => ({ $case: "releasePod", value: { uid } }));
      return;
    }
    // Also when another pod has named them before: that one may have gone since, and the agent keeps nothing that no pod names.
    if (change === "assigned") this.#tellReferences(pod);
    this.#tellPod(uid);
  }

  /** A service account has come: the tokens of its pods can be made now, or have to be made anew. */
  accountAdded(namespace: string, name: string): void {
    for (const { object, references } of this.#view.pods.podsOf(this.nodeName).values()) {
      if (object.namespace !== namespace || object.value.spec?.serviceAccountName !== name) continue;
      for (const reference of references) if (reference.kind === "ServiceAccountToken") this.referenceChanged(reference);
    }
  }

  /** A ConfigMap or Secret has changed, come or gone, or a token is to be renewed; the node hears of it if one of its pods names it. */
  referenceChanged(reference: Reference): void {
    if (this.#welcomed) this.#tellReference(reference);
  }

  tellPeers(): void {
    if (!this.#welcomed) return;
    this.#outbox.add("peers", () => ({ $case: "peers", value: { peers: this.#peers() } }));
  }

  /** What decides which pods the node takes in; told before the pods that were bound because of it. */
  tellOwnNode(): void {
    if (!this.#welcomed) return;
    this.#outbox.add("node", () => {
      const node = this.#view.node(this.nodeName);
      return node && { $case: "ownNode", value: { node: node.bytes } };
    });
  }

  /** Returns what takes the question back, should it still wait. */
  askForStream(message: OpenStream): () => void {
    const subject = `stream/${message.streamId}`;
    this.#outbox.add(subject, () => ({ $case: "openStream", value: message }));
    return () => this.#outbox.withdraw(subject);
  }

  /** Ends the session; the agent reads why. */
  end(code: status, details: string): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#outbox.close();
    if (code === status.OK) this.#call.end();
    else this.#call.emit("error", { code, details });
  }

  #tellPod(uid: string): void {
    this.#outbox.add(`pod/${uid}`, () => {
      const pod = this.#view.pods.get(this.nodeName, uid);
      if (!pod) return { $case: "releasePod", value: { uid } };
      return { $case: "assignPod", value: { pod: pod.object.bytes } };
    });
  }

  #tellReferences(pod: BoundPod): void {
    for (const reference of pod.references) this.#tellReference(reference);
  }

  #tellReference(reference: Reference): void {
    const key = referenceKey(reference);
    this.#outbox.add(key, () => {
      if (!this.#view.pods.isNamed(this.nodeName, key)) return undefined;
      return { $case: "referencedObject", value: { ...reference, object: this.#view.referenced(reference, this.nodeName) } };
    });
  }

  #peers(): Peer[] {
    const peers: Peer[] = [];
    for (const { name, value } of this.#view.nodes()) {
      const peer = toPeer(name, value);
      if (peer && name !== this.nodeName) peers.push(peer);
    }
    return peers;
  }
}

/** Whether an agent has to hear of its own Node anew. */
export function isOwnNodeNews(before: Node | undefined, after: Node): boolean {
  const told = (node: Node | undefined) => [node?.metadata?.labels, node?.spec?.taints, node?.status?.allocatable];
  return !isDeepStrictEqual(told(before), told(after));
}

/** What other nodes must know of a node; undefined while it has no address or no pod addresses. */
export function toPeer(nodeName: string, node: Node): Peer | undefined {
  const nodeAddress = node.status?.addresses?.find((address) => address.type === "InternalIP")?.address;
  const podCidr = node.spec?.podCIDR;
  return nodeAddress && podCidr ? { nodeName, nodeAddress, podCidr } : undefined;
}

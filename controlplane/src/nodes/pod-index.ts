import { isDeepStrictEqual } from "node:util";
import type { ObjectMeta, Pod } from "@tessera/proto";
import type { CachedObject, CacheEvent } from "../store/cache.ts";
import { podReferences, type Reference, referenceKey } from "./references.ts";

/** A pod that is bound to a node. */
export interface BoundPod {
  readonly object: CachedObject<Pod>;
  /**
   * The revision since which spec and metadata are as they are now, as far as this process has seen; status writes do not move it. An agent that
   * acts on a pod of this revision or a later one has nothing to learn.
   */
  readonly contentRevision: number;
  readonly references: readonly Reference[];
}

export type PodChange = "assigned" | "changed" | "gone";

/** Pods that went keep their names for so many, so that an agent's last words about them are still believed. */
const REMEMBERED_GONE = 256;

interface NodePods {
  readonly pods: Map<string, BoundPod>;
  /** Uids of pods that went, oldest first. */
  readonly gone: Set<string>;
  /** Key of a referenced object -> uids of the pods that name it. */
  readonly naming: Map<string, Set<string>>;
}

/** All bound pods by node, and what they name. Kept by the pod cache's events. */
export class PodIndex {
  readonly #nodes = new Map<string, NodePods>();
  /** Key of a referenced object -> nodes with a pod that names it. */
  readonly #namingNodes = new Map<string, Set<string>>();
  readonly #onChange: (node: string, uid: string, change: PodChange) => void;
  /** `onChange` hears of everything that a node must be told. */
  constructor(onChange: (node: string, uid: string, change: PodChange) => void) {
    this.#onChange = onChange;
  }

  podsOf(node: string): ReadonlyMap<string, BoundPod> {
    return this.#nodes.get(node)?.pods ?? new Map();
  }

  get(node: string, uid: string): BoundPod | undefined {
    return this.#nodes.get(node)?.pods.get(uid);
  }

  /** Whether the pod is on the node or was there a while ago. */
  knows(node: string, uid: string): boolean {
    const pods = this.#nodes.get(node);
    return pods !== undefined && (pods.pods.has(uid) || pods.gone.has(uid));
  }

  nodesNaming(referenceKey: string): ReadonlySet<string> {
    return this.#namingNodes.get(referenceKey) ?? new Set();
  }

  isNamed(node: string, referenceKey: string): boolean {
    return this.#namingNodes.get(referenceKey)?.has(node) ?? false;
  }

  /** Takes over a pod found in the cache. */
  load(object: CachedObject<Pod>): void {
    const node = object.value.spec?.nodeName;
    if (node) this.#put(node, object, object.revision);
  }

  apply(event: CacheEvent<Pod>): void {
    const { object, previous } = event;
    const node = object.value.spec?.nodeName;
    if (!node) return;
    if (event.type === "DELETED") {
      this.#remove(node, object.uid);
      this.#onChange(node, object.uid, "gone");
      return;
    }
    const known = this.get(node, object.uid);
    const changed = !known || !previous || !sameContent(previous.value, object.value);
    this.#put(node, object, changed ? object.revision : known.contentRevision);
    if (changed) this.#onChange(node, object.uid, known ? "changed" : "assigned");
  }

  #put(node: string, object: CachedObject<Pod>, contentRevision: number): void {
    const nodePods = this.#nodePods(node);
    const known = nodePods.pods.get(object.uid);
    // What a pod names is fixed with its spec, but for ephemeral containers, which a change of the spec brings.
    if (known && known.contentRevision === contentRevision) {
      nodePods.pods.set(object.uid, { ...known, object });
      return;
    }
    const references = podReferences(object, object.value.spec ?? {});
    nodePods.pods.set(object.uid, { object, contentRevision, references });
    for (const reference of references) this.#name(node, nodePods, referenceKey(reference), object.uid);
  }

  #name(node: string, nodePods: NodePods, key: string, uid: string): void {
    const uids = nodePods.naming.get(key);
    if (uids) {
      uids.add(uid);
      return;
    }
    nodePods.naming.set(key, new Set([uid]));
    const nodes = this.#namingNodes.get(key);
    if (nodes) nodes.add(node);
    else this.#namingNodes.set(key, new Set([node]));
  }

  #remove(node: string, uid: string): void {
    const nodePods = this.#nodes.get(node);
    const pod = nodePods?.pods.get(uid);
    if (!nodePods || !pod) return;
    nodePods.pods.delete(uid);
    nodePods.gone.add(uid);
    for (const oldest of nodePods.gone) {
      if (nodePods.gone.size <= REMEMBERED_GONE) break;
      nodePods.gone.delete(oldest);
    }
    for (const reference of pod.references) this.#unname(node, nodePods, referenceKey(reference), uid);
  }

  #unname(node: string, nodePods: NodePods, key: string, uid: string): void {
    const uids = nodePods.naming.get(key);
    if (!uids?.delete(uid) || uids.size > 0) return;
    nodePods.naming.delete(key);
    const nodes = this.#namingNodes.get(key);
    if (nodes?.delete(node) && nodes.size === 0) this.#namingNodes.delete(key);
  }

  #nodePods(node: string): NodePods {
    let nodePods = this.#nodes.get(node);
    if (!nodePods) {
      nodePods = { pods: new Map(), gone: new Set(), naming: new Map() };
      this.#nodes.set(node, nodePods);
    }
    return nodePods;
  }

  /** Forgets a node that no longer exists and has no pods. */
  forgetNode(node: string): void {
    if (this.#nodes.get(node)?.pods.size === 0) this.#nodes.delete(node);
  }
}

/** Whether an agent would do the same for both: equal but for the status and the bookkeeping of writes. */
function sameContent(a: Pod, b: Pod): boolean {
  return (
    isDeepStrictEqual(a.spec, b.spec) &&
    isDeepStrictEqual(ownMeta(a.metadata), ownMeta(b.metadata)) &&
    isDeepStrictEqual(gateConditions(a), gateConditions(b))
  );
}

/** The conditions that others set and that decide whether the pod is ready; the rest of the status comes from the agent itself. */
function gateConditions({ spec, status }: Pod): [string | undefined, string | undefined][] {
  const types = new Set((spec?.readinessGates ?? []).map((gate) => gate.conditionType));
  if (types.size === 0) return [];
  return (status?.conditions ?? []).filter(({ type }) => types.has(type)).map(({ type, status: value }) => [type, value]);
}

function ownMeta(metadata: ObjectMeta | undefined): ObjectMeta {
  return { ...metadata, resourceVersion: undefined, managedFields: undefined };
}

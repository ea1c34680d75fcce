import { type PodSpec, podHostPorts, podRequests, scoredRequests } from "@tessera/proto";
import { type Constraints, podConstraints } from "./constraints.ts";
import { canonicalImage } from "./image-table.ts";
import { type NodeTable, PODS } from "./node-table.ts";
import { acquirePeerRules, hasPeerRules, type PeerRules, releasePeerRules } from "./peers/peer-rules.ts";

/** An amount of one of the table's resources. */
export interface ResourceRequest {
  /** Column number in the node table. */
  readonly resource: number;
  readonly amount: number;
}

/**
 * All that decides where a pod may go, beside the groups that it belongs to in the eyes of other pods (`Kin`). Pods of one template share one shape, so what was found out for one (eligible nodes, why none has room)
 * holds for all.
 */
export interface PodShape {
  /** Equal for equal shapes. */
  readonly key: string;
  /** Shared by all shapes with equal constraints. */
  readonly constraints: Constraints;
  /** Never zero amounts; one of the resource "pods" always. */
  readonly requests: readonly ResourceRequest[];
  readonly scoredCpuMilli: number;
  readonly scoredMemoryBytes: number;
  /** "TCP/0.0.0.0/80" for each host port. */
  readonly hostPorts: readonly string[];
  /** One per container, in their canonical spelling. */
  readonly images: readonly string[];
  /** What it says of other pods; undefined: nothing. */
  readonly rules: PeerRules | undefined;
}

interface Counted<T> {
  readonly value: T;
  users: number;
}

/** Gives equal pods the same shape for as long as any of them is known. */
export class ShapeCatalog {
  readonly #nodes: NodeTable;
  readonly #shapes = new Map<string, Counted<PodShape> & { readonly constraintsKey: string }>();
  readonly #constraints = new Map<string, Counted<Constraints>>();
  constructor(nodes: NodeTable) {
    this.#nodes = nodes;
  }

  get size(): number {
    return this.#shapes.size;
  }

  /** Each `acquire` wants its `release`. `namespace`: where the pod is, which rules about other pods may mean. */
  acquire(spec: PodSpec, namespace: string): PodShape {
    const requests = podRequests(spec);
    const scored = scoredRequests(spec);
    const hostPorts = podHostPorts(spec);
    const images = [...(spec.initContainers ?? []), ...(spec.containers ?? [])].map(({ image = "" }) => image);
    const constraintsKey = JSON.stringify([spec.nodeSelector, spec.affinity?.nodeAffinity, spec.tolerations]);
    const hasRules = hasPeerRules(spec);
    const key = JSON.stringify([
      constraintsKey,
      [...requests],
      scored.cpuMilli,
      scored.memoryBytes,
      hostPorts,
      images,
      hasRules ? rulesKey(spec, namespace) : 0,
    ]);
    const known = this.#shapes.get(key);
    if (known) {
      known.users++;
      return known.value;
    }
    const amounts: ResourceRequest[] = [{ resource: PODS, amount: 1 }];
    for (const [name, amount] of requests) if (amount > 0) amounts.push({ resource: this.#nodes.resourceIndex(name), amount });
    const constraints = this.#acquireConstraints(constraintsKey, spec);
    const shape: PodShape = {
      key,
      constraints,
      requests: amounts,
      scoredCpuMilli: scored.cpuMilli,
      scoredMemoryBytes: scored.memoryBytes,
      hostPorts,
      images: images.map(canonicalImage),
      rules: hasRules ? acquirePeerRules(spec, namespace, constraints, this.#nodes.peers) : undefined,
    };
    this.#shapes.set(key, { value: shape, users: 1, constraintsKey });
    return shape;
  }

  release(shape: PodShape): void {
    const known = this.#shapes.get(shape.key);
    if (!known || --known.users > 0) return;
    this.#shapes.delete(shape.key);
    if (shape.rules) releasePeerRules(shape.rules, this.#nodes.peers);
    const constraints = this.#constraints.get(known.constraintsKey);
    if (constraints && --constraints.users === 0) this.#constraints.delete(known.constraintsKey);
  }

  #acquireConstraints(key: string, spec: PodSpec): Constraints {
    const known = this.#constraints.get(key);
    if (known) {
      known.users++;
      return known.value;
    }
    const value = podConstraints(spec);
    this.#constraints.set(key, { value, users: 1 });
    return value;
  }
}

/** What rules mean depends on the namespace; pods without any share their shape with those of other namespaces. */
function rulesKey(spec: PodSpec, namespace: string): unknown[] {
  return [namespace, spec.affinity?.podAffinity, spec.affinity?.podAntiAffinity, spec.topologySpreadConstraints];
}

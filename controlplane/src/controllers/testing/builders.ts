import type {
  Container,
  Node,
  NodeSelectorRequirement,
  Pod,
  PodAffinityTerm,
  Taint,
  Toleration,
  TopologySpreadConstraint,
} from "@tessera/proto";

/** A pod that says only what a test is about: `pod("a").cpu("500m").tolerates("x").build()`. */
export function pod(name: string, namespace = "default"): PodBuilder {
  return new PodBuilder(name, namespace);
}

/** A node with 4 cores, 8 GiB and room for 110 pods unless told otherwise. */
export function node(name: string): NodeBuilder {
  return new NodeBuilder(name);
}

export class PodBuilder {
  readonly #pod: Pod & { spec: NonNullable<Pod["spec"]>; metadata: NonNullable<Pod["metadata"]> };
  readonly #container: Container = { name: "main", image: "busybox" };
  constructor(name: string, namespace: string) {
    this.#pod = {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace },
      // A token is something that a pod names; tests say what theirs name.
      spec: { schedulerName: "default-scheduler", containers: [this.#container], automountServiceAccountToken: false },
      status: { phase: "Pending" },
    };
  }

  requests(resource: string, quantity: string): this {
    this.#container.resources = { requests: { ...this.#container.resources?.requests, [resource]: quantity } };
    return this;
  }

  cpu(quantity: string): this {
    return this.requests("cpu", quantity);
  }

  memory(quantity: string): this {
    return this.requests("memory", quantity);
  }

  hostPort(port: number, hostIP?: string): this {
    this.#container.ports = [...(this.#container.ports ?? []), { containerPort: port, hostPort: port, hostIP, protocol: "TCP" }];
    return this;
  }

  tolerates(key: string, more: Toleration = {}): this {
    this.#pod.spec.tolerations = [...(this.#pod.spec.tolerations ?? []), { key, operator: "Exists", ...more }];
    return this;
  }

  selects(label: string, value: string): this {
    this.#pod.spec.nodeSelector = { ...this.#pod.spec.nodeSelector, [label]: value };
    return this;
  }

  /** One required term of node affinity; called again: an alternative. */
  requires(...matchExpressions: NodeSelectorRequirement[]): this {
    const nodeAffinity = this.#pod.spec.affinity?.nodeAffinity;
    const terms = nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution?.nodeSelectorTerms ?? [];
    const required = { nodeSelectorTerms: [...terms, { matchExpressions }] };
    this.#pod.spec.affinity = {
      ...this.#pod.spec.affinity,
      nodeAffinity: { ...nodeAffinity, requiredDuringSchedulingIgnoredDuringExecution: required },
    };
    return this;
  }

  prefers(weight: number, ...matchExpressions: NodeSelectorRequirement[]): this {
    const nodeAffinity = this.#pod.spec.affinity?.nodeAffinity;
    const preferred = [
      ...(nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []),
      { weight, preference: { matchExpressions } },
    ];
    this.#pod.spec.affinity = {
      ...this.#pod.spec.affinity,
      nodeAffinity: { ...nodeAffinity, preferredDuringSchedulingIgnoredDuringExecution: preferred },
    };
    return this;
  }

  label(key: string, value: string): this {
    this.#pod.metadata.labels = { ...this.#pod.metadata.labels, [key]: value };
    return this;
  }

  /** Required affinity; called again: a further term. */
  near(term: PodAffinityTerm): this {
    return this.#addPodTerms("podAffinity", "requiredDuringSchedulingIgnoredDuringExecution", term);
  }

  /** Required anti-affinity; called again: a further term. */
  awayFrom(term: PodAffinityTerm): this {
    return this.#addPodTerms("podAntiAffinity", "requiredDuringSchedulingIgnoredDuringExecution", term);
  }

  prefersNear(weight: number, podAffinityTerm: PodAffinityTerm): this {
    return this.#addPodTerms("podAffinity", "preferredDuringSchedulingIgnoredDuringExecution", { weight, podAffinityTerm });
  }

  prefersAwayFrom(weight: number, podAffinityTerm: PodAffinityTerm): this {
    return this.#addPodTerms("podAntiAffinity", "preferredDuringSchedulingIgnoredDuringExecution", { weight, podAffinityTerm });
  }

  spreads(constraint: TopologySpreadConstraint): this {
    this.#pod.spec.topologySpreadConstraints = [...(this.#pod.spec.topologySpreadConstraints ?? []), constraint];
    return this;
  }

  #addPodTerms(field: "podAffinity" | "podAntiAffinity", strictness: string, term: object): this {
    const { affinity } = this.#pod.spec;
    const known: Readonly<Record<string, readonly object[] | undefined>> = { ...affinity?.[field] };
    this.#pod.spec.affinity = { ...affinity, [field]: { ...known, [strictness]: [...(known[strictness] ?? []), term] } };
    return this;
  }

  /** It is being deleted. */
  leaving(): this {
    this.#pod.metadata.deletionTimestamp = "2030-01-01T00:00:00Z";
    return this;
  }

  priority(priority: number): this {
    this.#pod.spec.priority = priority;
    return this;
  }

  on(nodeName: string): this {
    this.#pod.spec.nodeName = nodeName;
    return this;
  }

  with(change: (pod: Pod & { spec: NonNullable<Pod["spec"]> }, container: Container) => void): this {
    change(this.#pod, this.#container);
    return this;
  }

  build(): Pod {
    return structuredClone(this.#pod);
  }
}

export class NodeBuilder {
  readonly #node: Node & { metadata: NonNullable<Node["metadata"]>; spec: NonNullable<Node["spec"]>; status: NonNullable<Node["status"]> };
  constructor(name: string) {
    this.#node = {
      apiVersion: "v1",
      kind: "Node",
      metadata: { name, labels: { "kubernetes.io/hostname": name } },
      spec: {},
      status: { allocatable: { cpu: "4", memory: "8Gi", pods: "110" } },
    };
  }

  has(resource: string, quantity: string): this {
    this.#node.status.allocatable = { ...this.#node.status.allocatable, [resource]: quantity };
    return this;
  }

  cpu(quantity: string): this {
    return this.has("cpu", quantity);
  }

  memory(quantity: string): this {
    return this.has("memory", quantity);
  }

  label(key: string, value: string): this {
    this.#node.metadata.labels = { ...this.#node.metadata.labels, [key]: value };
    return this;
  }

  taint(key: string, effect: string, value?: string): this {
    const taint: Taint = { key, effect, ...(value === undefined ? {} : { value }) };
    this.#node.spec.taints = [...(this.#node.spec.taints ?? []), taint];
    return this;
  }

  cordoned(): this {
    this.#node.spec.unschedulable = true;
    return this;
  }

  build(): Node {
    return structuredClone(this.#node);
  }
}

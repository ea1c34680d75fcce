import type { LabelSelector, Node, Pod, PodAffinityTerm, TopologySpreadConstraint } from "@tessera/proto";

type Labels = Readonly<Record<string, string>>;

/** All there is, and nothing kept from before. */
export interface World {
  readonly nodes: readonly Node[];
  /** Those that have a node, with spec.nodeName. */
  readonly pods: readonly Pod[];
  /** Labels of namespaces by name. */
  readonly namespaces: ReadonlyMap<string, Labels>;
}

/** What the rules say of a node for a pod, worked out from all pods each time: slow, and simple enough to be seen to be right. */
export class NaivePeers {
  readonly #world: World;
  constructor(world: World) {
    this.#world = world;
  }

  /** Names of the nodes that rules about other pods leave to the pod. */
  allowed(pod: Pod): string[] {
    const { nodes } = this.#world;
    const allowed = nodes.filter(
      (node) => this.#affinityHolds(pod, node) && this.#isFarEnough(pod, node) && this.#isWelcome(pod, node) && this.#isSpread(pod, node),
    );
    return allowed.map(({ metadata }) => metadata?.name ?? "");
  }

  /** Of affinity, by node: the sum of all weights, of the pod and of those that are there. */
  attraction(pod: Pod, node: Node): number {
    let sum = 0;
    for (const other of this.#world.pods) {
      const isNear = (term: PodAffinityTerm) => this.#sameDomain(other, node, term.topologyKey ?? "");
      for (const [sign, field] of [[1, "podAffinity"] as const, [-1, "podAntiAffinity"] as const]) {
        for (const { weight = 0, podAffinityTerm: term = {} } of pod.spec?.affinity?.[field]
          ?.preferredDuringSchedulingIgnoredDuringExecution ?? [])
          if (this.#matches(term, pod, other) && isNear(term)) sum += sign * weight;
        for (const { weight = 0, podAffinityTerm: term = {} } of other.spec?.affinity?.[field]
          ?.preferredDuringSchedulingIgnoredDuringExecution ?? [])
          if (this.#matches(term, other, pod) && isNear(term)) sum += sign * weight;
      }
      for (const term of other.spec?.affinity?.podAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? [])
        if (this.#matches(term, other, pod) && isNear(term)) sum += 1;
    }
    return sum;
  }

  #affinityHolds(pod: Pod, node: Node): boolean {
    const terms = pod.spec?.affinity?.podAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? [];
    if (terms.length === 0) return true;
    if (terms.some(({ topologyKey = "" }) => labelOf(node, topologyKey) === undefined)) return false;
    const wanted = this.#world.pods.filter((other) => terms.every((term) => this.#matches(term, pod, other)));
    const isPlaced = (other: Pod, key = "") => labelOf(this.#nodeOf(other), key) !== undefined;
    const isFirst = !wanted.some((other) => terms.some(({ topologyKey }) => isPlaced(other, topologyKey)));
    if (isFirst && terms.every((term) => this.#matches(term, pod, pod))) return true;
    return terms.every(({ topologyKey = "" }) => wanted.some((other) => this.#sameDomain(other, node, topologyKey)));
  }

  #isFarEnough(pod: Pod, node: Node): boolean {
    const terms = pod.spec?.affinity?.podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? [];
    return !terms.some((term) =>
      this.#world.pods.some((other) => this.#matches(term, pod, other) && this.#sameDomain(other, node, term.topologyKey ?? "")),
    );
  }

  #isWelcome(pod: Pod, node: Node): boolean {
    return !this.#world.pods.some((other) =>
      (other.spec?.affinity?.podAntiAffinity?.requiredDuringSchedulingIgnoredDuringExecution ?? []).some(
        (term) => this.#matches(term, other, pod) && this.#sameDomain(other, node, term.topologyKey ?? ""),
      ),
    );
  }

  #isSpread(pod: Pod, node: Node): boolean {
    const constraints = (pod.spec?.topologySpreadConstraints ?? []).filter(
      ({ whenUnsatisfiable }) => whenUnsatisfiable === "DoNotSchedule",
    );
    const keys = constraints.map(({ topologyKey = "" }) => topologyKey);
    return constraints.every((constraint) => this.#skewIsAllowed(constraint, keys, pod, node));
  }

  #skewIsAllowed(constraint: TopologySpreadConstraint, keys: readonly string[], pod: Pod, node: Node): boolean {
    const { topologyKey = "", maxSkew = 1, minDomains = 1, labelSelector } = constraint;
    const own = labelOf(node, topologyKey);
    if (own === undefined) return false;
    const counts = new Map<string, number>();
    for (const each of this.#world.nodes) {
      if (keys.some((key) => labelOf(each, key) === undefined) || !isCounted(constraint, pod, each)) continue;
      const here = this.#world.pods.filter(
        (other) =>
          other.spec?.nodeName === each.metadata?.name &&
          other.metadata?.namespace === pod.metadata?.namespace &&
          other.metadata?.deletionTimestamp === undefined &&
          selects(labelSelector, other.metadata?.labels ?? {}),
      );
      const domain = labelOf(each, topologyKey) ?? "";
      counts.set(domain, (counts.get(domain) ?? 0) + here.length);
    }
    const least = counts.size === 0 || counts.size < minDomains ? 0 : Math.min(...counts.values());
    const self = selects(labelSelector, pod.metadata?.labels ?? {}) ? 1 : 0;
    return (counts.get(own) ?? 0) + self - least <= maxSkew;
  }

  /** Whether `other` is one of the pods that a term of `owner` speaks of. */
  #matches({ namespaces = [], namespaceSelector, labelSelector }: PodAffinityTerm, owner: Pod, other: Pod): boolean {
    const namespace = other.metadata?.namespace ?? "";
    const isOwn = namespaces.length === 0 && namespaceSelector === undefined && namespace === owner.metadata?.namespace;
    const isMeant = isOwn || namespaces.includes(namespace) || selects(namespaceSelector, this.#world.namespaces.get(namespace) ?? {});
    return isMeant && selects(labelSelector, other.metadata?.labels ?? {});
  }

  #sameDomain(pod: Pod, node: Node, key: string): boolean {
    const there = labelOf(this.#nodeOf(pod), key);
    return there !== undefined && there === labelOf(node, key);
  }

  #nodeOf(pod: Pod): Node | undefined {
    return this.#world.nodes.find(({ metadata }) => metadata?.name === pod.spec?.nodeName);
  }
}

function labelOf(node: Node | undefined, key: string): string | undefined {
  return node?.metadata?.labels?.[key];
}

/** Only what the tests use of node selectors and taints. */
function isCounted({ nodeAffinityPolicy = "Honor", nodeTaintsPolicy = "Ignore" }: TopologySpreadConstraint, pod: Pod, node: Node): boolean {
  const selector = Object.entries(pod.spec?.nodeSelector ?? {});
  if (nodeAffinityPolicy === "Honor" && !selector.every(([key, value]) => labelOf(node, key) === value)) return false;
  return nodeTaintsPolicy === "Ignore" || (node.spec?.taints ?? []).length === 0;
}

function selects(selector: LabelSelector | undefined, labels: Labels): boolean {
  if (selector === undefined) return false;
  const { matchLabels = {}, matchExpressions = [] } = selector;
  if (!Object.entries(matchLabels).every(([key, value]) => labels[key] === value)) return false;
  return matchExpressions.every(({ key = "", operator, values = [] }) => {
    const value = labels[key];
    if (operator === "In") return value !== undefined && values.includes(value);
    if (operator === "NotIn") return value === undefined || !values.includes(value);
    return operator === "Exists" ? value !== undefined : value === undefined;
  });
}

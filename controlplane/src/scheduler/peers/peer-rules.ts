import type {
  LabelSelector,
  PodAffinity,
  PodAffinityTerm,
  PodAntiAffinity,
  PodSpec,
  TopologySpreadConstraint,
  WeightedPodAffinityTerm,
} from "@tessera/proto";
import type { Constraints } from "../constraints.ts";
import type { PeerTable } from "./peer-table.ts";
import type { PodGroup, PodSelection } from "./pod-group.ts";
import { spreadScope } from "./spread-scope.ts";
import type { Column, Scope, Tally } from "./tally.ts";

/** A rule about how near pods of a group are. Near means: on nodes with the same value of the topology's label. */
export interface NearRule {
  readonly group: PodGroup;
  /** Members of the group by domain. */
  readonly tally: Tally;
}

/** A constraint of spreading. */
export interface SpreadRule {
  readonly group: PodGroup;
  readonly topologyKey: string;
  readonly maxSkew: number;
  readonly minDomains: number;
  /** Staying members of the group by domain, on nodes that the constraint takes into account. */
  readonly tally: Tally;
}

/** What a pod that has a node means to pods that look for one. */
export interface OwnedRule {
  readonly kind: "repelling" | "drawing";
  readonly group: PodGroup;
  readonly topologyKey: string;
  /** Of "drawing": the rule's weight, below zero where the pod wants distance. Of "repelling": 1. */
  readonly weight: number;
}

/** All that a pod says of other pods. */
export interface PeerRules {
  /** All terms of required affinity: each topology's domain must have a pod that matches all terms at once, as in Kubernetes. */
  readonly affinity: { readonly group: PodGroup; readonly tallies: readonly Tally[] } | undefined;
  readonly antiAffinity: readonly NearRule[];
  /** Weights are below zero for anti-affinity. */
  readonly preferred: readonly (NearRule & { readonly weight: number })[];
  /** whenUnsatisfiable DoNotSchedule. */
  readonly spread: readonly SpreadRule[];
  /** whenUnsatisfiable ScheduleAnyway. */
  readonly softSpread: readonly SpreadRule[];
  readonly owned: readonly OwnedRule[];
  /** Every group of the above once per use, and every tally, to be released with the rules. */
  readonly groups: readonly PodGroup[];
  readonly tallies: readonly Tally[];
}

/** What a required term of affinity that a pod has is worth to those that it matches: the default of Kubernetes' hardPodAffinityWeight. */
const REQUIRED_WEIGHT = 1;

const noPods: PodSelection = { namespaces: [], namespaceSelector: undefined, labelSelector: undefined };

/** Whether the pod says anything of other pods. */
export function hasPeerRules({ affinity, topologySpreadConstraints }: PodSpec): boolean {
  if ((topologySpreadConstraints?.length ?? 0) > 0) return true;
  return affinity !== undefined && (hasTerms(affinity.podAffinity) || hasTerms(affinity.podAntiAffinity));
}

function hasTerms(pods: PodAffinity | PodAntiAffinity | undefined): boolean {
  const { requiredDuringSchedulingIgnoredDuringExecution: required, preferredDuringSchedulingIgnoredDuringExecution: preferred } =
    pods ?? {};
  return (required?.length ?? 0) + (preferred?.length ?? 0) > 0;
}

/** Makes a pod's rules, for as long as `releasePeerRules` is not called. */
export function acquirePeerRules(spec: PodSpec, namespace: string, constraints: Constraints, peers: PeerTable): PeerRules {
  return new RuleReader(namespace, constraints, peers).read(spec);
}

export function releasePeerRules(rules: PeerRules, peers: PeerTable): void {
  for (const tally of rules.tallies) peers.releaseTally(tally);
  for (const group of rules.groups) peers.releaseGroup(group);
}

class RuleReader {
  readonly #namespace: string;
  readonly #constraints: Constraints;
  readonly #peers: PeerTable;
  readonly #groups: PodGroup[] = [];
  readonly #tallies: Tally[] = [];
  constructor(namespace: string, constraints: Constraints, peers: PeerTable) {
    this.#namespace = namespace;
    this.#constraints = constraints;
    this.#peers = peers;
  }

  read({ affinity = {}, topologySpreadConstraints = [] }: PodSpec): PeerRules {
    const { podAffinity = {}, podAntiAffinity = {} } = affinity;
    const near = podAffinity.requiredDuringSchedulingIgnoredDuringExecution ?? [];
    const far = podAntiAffinity.requiredDuringSchedulingIgnoredDuringExecution ?? [];
    const liked = podAffinity.preferredDuringSchedulingIgnoredDuringExecution ?? [];
    const disliked = podAntiAffinity.preferredDuringSchedulingIgnoredDuringExecution ?? [];
    const preferred = [...liked.map((term) => this.#preferred(term, 1)), ...disliked.map((term) => this.#preferred(term, -1))];
    const antiAffinity = far.map((term) => this.#near(term));
    const drawing = [...near.map((term) => ({ ...this.#near(term), weight: REQUIRED_WEIGHT })), ...preferred];
    const hard = topologySpreadConstraints.filter(({ whenUnsatisfiable }) => whenUnsatisfiable === "DoNotSchedule");
    const soft = topologySpreadConstraints.filter(({ whenUnsatisfiable }) => whenUnsatisfiable === "ScheduleAnyway");
    return {
      affinity: near.length > 0 ? this.#affinity(near) : undefined,
      antiAffinity,
      preferred,
      spread: this.#spread(hard),
      softSpread: this.#spread(soft),
      owned: [
        ...antiAffinity.map(({ group, tally }) => ({ kind: "repelling" as const, group, topologyKey: tally.topology.key, weight: 1 })),
        ...drawing.map(({ group, tally, weight }) => ({ kind: "drawing" as const, group, topologyKey: tally.topology.key, weight })),
      ],
      groups: this.#groups,
      tallies: this.#tallies,
    };
  }

  #affinity(terms: readonly PodAffinityTerm[]): PeerRules["affinity"] {
    const group = this.#acquire(terms.map((term) => this.#selection(term)));
    return { group, tallies: terms.map(({ topologyKey = "" }) => this.#tally(group.members, topologyKey)) };
  }

  #near(term: PodAffinityTerm): NearRule {
    const group = this.#acquire([this.#selection(term)]);
    return { group, tally: this.#tally(group.members, term.topologyKey ?? "") };
  }

  #preferred({ weight = 0, podAffinityTerm = {} }: WeightedPodAffinityTerm, sign: 1 | -1): NearRule & { weight: number } {
    return { ...this.#near(podAffinityTerm), weight: sign * weight };
  }

  #spread(constraints: readonly TopologySpreadConstraint[]): SpreadRule[] {
    const keys = constraints.map(({ topologyKey = "" }) => topologyKey);
    return constraints.map((constraint) => {
      const { topologyKey = "", labelSelector, maxSkew = 1, minDomains = 1 } = constraint;
      // An empty selector counts no pods here, unlike anywhere else: so does Kubernetes.
      const selection = isEmpty(labelSelector) ? noPods : { ...noPods, namespaces: [this.#namespace], labelSelector };
      const group = this.#acquire([selection]);
      const scope = spreadScope(constraint, keys, this.#constraints);
      return { group, topologyKey, maxSkew, minDomains, tally: this.#tally(group.staying, topologyKey, scope) };
    });
  }

  #selection({ namespaces = [], namespaceSelector, labelSelector }: PodAffinityTerm): PodSelection {
    const own = namespaces.length === 0 && namespaceSelector === undefined;
    return { namespaces: own ? [this.#namespace] : [...new Set(namespaces)].sort(), namespaceSelector, labelSelector };
  }

  #tally(column: Column, topologyKey: string, scope?: Scope): Tally {
    const tally = this.#peers.acquireTally(column, topologyKey, scope);
    this.#tallies.push(tally);
    return tally;
  }

  #acquire(selections: readonly PodSelection[]): PodGroup {
    const group = this.#peers.acquireGroup(selections);
    this.#groups.push(group);
    return group;
  }
}

function isEmpty(selector: LabelSelector | undefined): boolean {
  return selector !== undefined && Object.keys(selector.matchLabels ?? {}).length + (selector.matchExpressions ?? []).length === 0;
}

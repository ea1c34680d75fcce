import type { Resident } from "../node-table.ts";
import type { PeerRules } from "./peer-rules.ts";
import { PodGroup, type PodSelection } from "./pod-group.ts";
import { Kin, type Labels, SelectablePod } from "./selectable-pod.ts";
import type { Column, Scope, Tally } from "./tally.ts";
import { Topology } from "./topology.ts";

/** What changed of pods' groups. */
export interface PeerChanges {
  /** Groups with other numbers than before. */
  readonly groups: ReadonlySet<PodGroup>;
  /** Pods that belong to other groups than before. */
  readonly pods: ReadonlySet<SelectablePod>;
}

const noLabels: Labels = {};
const noGroups: readonly PodGroup[] = [];
/** No namespace has this name. */
const ANYWHERE = "";

/**
 * What pods mean to each other. It knows the groups that pods' rules speak of, which pods belong to them, and how many of these there are in each
 * domain. All of it is kept up to date as pods come, go and change, so a decision only reads sums.
 *
 * A pod that no rule speaks of costs nothing but its entry in a map. A new group is matched against all known labels, a namespace with new labels against
 * all groups: both are rare.
 */
export class PeerTable {
  /** Pods that belong to no group. */
  readonly nobody = new Kin("", noGroups);
  readonly #groups = new Map<string, PodGroup>();
  /** By each namespace that they may have members in; those of any namespace under ANYWHERE. */
  readonly #groupsByNamespace = new Map<string, Set<PodGroup>>();
  readonly #kin = new Map<string, Kin>();
  readonly #pods = new Map<string, SelectablePod>();
  readonly #byNamespace = new Map<string, Set<SelectablePod>>();
  readonly #namespaceLabels = new Map<string, Labels>();
  readonly #topologies = new Map<string, { readonly topology: Topology; users: number }>();
  #changedGroups = new Set<PodGroup>();
  #changedPods = new Set<SelectablePod>();
  #lastId = 0;

  get hasGroups(): boolean {
    return this.#groups.size > 0;
  }

  /** Numbers of things that are kept, for tests to see that nothing leaks. */
  get size(): { groups: number; kin: number; pods: number; topologies: number } {
    return { groups: this.#groups.size, kin: this.#kin.size, pods: this.#pods.size, topologies: this.#topologies.size };
  }

  /** Each wants its `releasePod`. */
  acquirePod(namespace: string, labels: Labels = noLabels): SelectablePod {
    let key = namespace;
    // Neither keys nor values of labels can contain the separators. Once per pod, so what JSON.stringify takes longer would be felt.
    for (const label in labels) key += `\n${label}=${labels[label]}`;
    let pod = this.#pods.get(key);
    if (!pod) {
      pod = new SelectablePod(key, namespace, labels, this.nobody);
      this.#pods.set(key, pod);
      addTo(this.#byNamespace, namespace, pod);
      const groups = this.#groupsOf(pod);
      if (groups.length > 0) this.#setKin(pod, groups);
    }
    pod.users++;
    return pod;
  }

  releasePod(pod: SelectablePod): void {
    if (--pod.users > 0) return;
    this.#pods.delete(pod.key);
    removeFrom(this.#byNamespace, pod.namespace, pod);
    if (pod.kin.groups.length > 0) this.#setKin(pod, noGroups);
    this.#changedPods.delete(pod);
  }

  /** The pods that match all of the selections. Each wants its `releaseGroup`. */
  acquireGroup(selections: readonly PodSelection[]): PodGroup {
    const key = JSON.stringify(selections);
    let group = this.#groups.get(key);
    if (!group) {
      group = new PodGroup(++this.#lastId, key, selections);
      this.#groups.set(key, group);
      for (const namespace of group.namespaces ?? [ANYWHERE]) addTo(this.#groupsByNamespace, namespace, group);
      for (const pod of this.#candidates(group)) if (this.#isIn(pod, group)) this.#join(pod, group);
    }
    group.users++;
    return group;
  }

  releaseGroup(group: PodGroup): void {
    if (--group.users > 0) return;
    this.#groups.delete(group.key);
    for (const namespace of group.namespaces ?? [ANYWHERE]) removeFrom(this.#groupsByNamespace, namespace, group);
    this.#changedGroups.delete(group);
    for (const pod of this.#candidates(group)) {
      if (pod.kin.groups.includes(group)) this.#setKin(pod, without(pod.kin.groups, group));
    }
    for (const column of group.columns) for (const { topology } of column.tallies) this.#releaseTopology(topology);
  }

  /** All that belong to the group. */
  *membersOf(group: PodGroup): Iterable<SelectablePod> {
    for (const pod of this.#candidates(group)) if (pod.kin.groups.includes(group)) yield pod;
  }

  /** Labels of a namespace; undefined when it is gone. */
  setNamespace(name: string, labels: Labels | undefined): void {
    if (labels) this.#namespaceLabels.set(name, labels);
    else this.#namespaceLabels.delete(name);
    if (this.#groups.size === 0) return;
    for (const pod of this.#byNamespace.get(name) ?? []) {
      const before = pod.kin.groups;
      const after = this.#groupsOf(pod);
      for (const group of before) if (!after.includes(group)) this.#leave(pod, group);
      for (const group of after) if (!before.includes(group)) this.#join(pod, group);
    }
  }

  /** As `tally`, for a rule: it is kept until the `releaseTally` of the last rule, or until its group goes. */
  acquireTally(column: Column, topologyKey: string, scope?: Scope): Tally {
    const tally = this.tally(column, topologyKey, scope);
    tally.users++;
    return tally;
  }

  releaseTally(tally: Tally): void {
    if (--tally.users > 0) return;
    tally.column.forget(tally);
    this.#releaseTopology(tally.topology);
  }

  /** Sums of a column over the domains of a topology, of all nodes or of those in the scope. Kept until the group goes. */
  tally(column: Column, topologyKey: string, scope?: Scope): Tally {
    return column.tally(topologyKey, () => this.#acquireTopology(topologyKey), scope);
  }

  /** Counts a pod on its node, or (-1) no longer. */
  count(resident: Resident, row: number, sign: 1 | -1): void {
    const { selectable, shape } = resident;
    if (sign === 1) selectable.residents.set(resident, row);
    else selectable.residents.delete(resident);
    for (const group of selectable.kin.groups) this.#countMember(group, resident, row, sign);
    if (shape.rules) this.#countOwner(shape.rules, resident, row, sign);
  }

  /** What changed since this was asked last. */
  takeChanges(): PeerChanges {
    const changes = { groups: this.#changedGroups, pods: this.#changedPods };
    if (changes.groups.size > 0) this.#changedGroups = new Set();
    if (changes.pods.size > 0) this.#changedPods = new Set();
    return changes;
  }

  #countMember(group: PodGroup, resident: Resident, row: number, sign: 1 | -1): void {
    group.members.add(row, sign);
    if (!resident.isLeaving) group.staying.add(row, sign);
    this.#note(group);
  }

  #countOwner(rules: PeerRules, resident: Resident, row: number, sign: 1 | -1): void {
    for (const { group, topologyKey, kind, weight } of rules.owned) {
      const owners = group.owners(kind, topologyKey);
      if (sign === 1) owners.rows.set(resident, row);
      else owners.rows.delete(resident);
      owners.column.add(row, sign * weight);
      this.#note(group);
    }
  }

  #note(group: PodGroup): void {
    group.version++;
    this.#changedGroups.add(group);
  }

  #join(pod: SelectablePod, group: PodGroup): void {
    this.#setKin(pod, [...pod.kin.groups, group]);
    for (const [resident, row] of pod.residents) this.#countMember(group, resident, row, 1);
    this.#note(group);
  }

  #leave(pod: SelectablePod, group: PodGroup): void {
    this.#setKin(pod, without(pod.kin.groups, group));
    for (const [resident, row] of pod.residents) this.#countMember(group, resident, row, -1);
    this.#note(group);
  }

  #setKin(pod: SelectablePod, groups: readonly PodGroup[]): void {
    const before = pod.kin;
    const key = groups
      .map(({ id }) => id)
      .sort((a, b) => a - b)
      .join();
    let kin = key === "" ? this.nobody : this.#kin.get(key);
    if (!kin) {
      kin = new Kin(
        key,
        [...groups].sort((a, b) => a.id - b.id),
      );
      this.#kin.set(key, kin);
    }
    kin.users++;
    pod.kin = kin;
    this.#changedPods.add(pod);
    if (--before.users <= 0 && before !== this.nobody) this.#kin.delete(before.key);
  }

  #groupsOf(pod: SelectablePod): readonly PodGroup[] {
    const groups: PodGroup[] = [];
    for (const namespace of [pod.namespace, ANYWHERE])
      for (const group of this.#groupsByNamespace.get(namespace) ?? []) if (this.#isIn(pod, group)) groups.push(group);
    return groups;
  }

  #isIn(pod: SelectablePod, group: PodGroup): boolean {
    return group.matches(pod.namespace, pod.labels, this.#namespaceLabels.get(pod.namespace) ?? noLabels);
  }

  /** Pods that may belong to the group. */
  *#candidates(group: PodGroup): Iterable<SelectablePod> {
    if (group.namespaces === undefined) yield* this.#pods.values();
    else for (const namespace of group.namespaces) yield* this.#byNamespace.get(namespace) ?? [];
  }

  #acquireTopology(key: string): Topology {
    let known = this.#topologies.get(key);
    if (!known) {
      known = { topology: new Topology(key), users: 0 };
      this.#topologies.set(key, known);
    }
    known.users++;
    return known.topology;
  }

  #releaseTopology({ key }: Topology): void {
    const known = this.#topologies.get(key);
    if (known && --known.users === 0) this.#topologies.delete(key);
  }
}

function without(groups: readonly PodGroup[], one: PodGroup): readonly PodGroup[] {
  return groups.filter((group) => group !== one);
}

function addTo<T>(sets: Map<string, Set<T>>, key: string, item: T): void {
  const known = sets.get(key);
  if (known) known.add(item);
  else sets.set(key, new Set([item]));
}

function removeFrom<T>(sets: Map<string, Set<T>>, key: string, item: T): void {
  const known = sets.get(key);
  known?.delete(item);
  if (known?.size === 0) sets.delete(key);
}

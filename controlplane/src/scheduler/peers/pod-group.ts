import type { LabelSelector as SelectorObject } from "@tessera/proto";
import { LabelSelector } from "../../registry/label-selector.ts";
import type { Resident } from "../node-table.ts";
import type { Labels } from "./selectable-pod.ts";
import { Column } from "./tally.ts";

/** Pods by their namespaces and labels: what a term of affinity, or a constraint of spreading, speaks of. */
export interface PodSelection {
  /** Sorted. */
  readonly namespaces: readonly string[];
  /** Further namespaces by their labels; an empty selector means all, an absent one none. */
  readonly namespaceSelector: SelectorObject | undefined;
  /** An absent one matches no pod. */
  readonly labelSelector: SelectorObject | undefined;
}

/** Pods that have a rule about a group, over one topology. */
export class Owners {
  /** By node: how many they are, or the sum of what the rule is worth to them. */
  readonly column = new Column();
  /** Their rows. */
  readonly rows = new Map<Resident, number>();
}

/**
 * The pods that match all of some selections. It exists while a known pod has a rule about it, is shared by all such pods, and counts on which nodes its
 * members are, and on which nodes the pods are that want it near or far.
 */
export class PodGroup {
  /** Equal for equal selections. */
  readonly key: string;
  /** Of no two groups the same, and never used again. */
  readonly id: number;
  /** Undefined: a group of all namespaces that a selector may choose. */
  readonly namespaces: ReadonlySet<string> | undefined;
  users = 0;
  /** Grows whenever any of its numbers, or of its owners', changes. */
  version = 0;
  /** Members that have a node. */
  readonly members = new Column();
  /** Of these, the ones that are not on their way out. */
  readonly staying = new Column();
  /** By topology key: pods with a node that refuse to be near a member. */
  readonly repelling = new Map<string, Owners>();
  /** By topology key: how much pods with a node want members near. */
  readonly drawing = new Map<string, Owners>();
  readonly #selections: readonly {
    readonly namespaces: ReadonlySet<string>;
    readonly byLabels?: LabelSelector;
    readonly pods?: LabelSelector;
  }[];

  constructor(id: number, key: string, selections: readonly PodSelection[]) {
    this.id = id;
    this.key = key;
    this.#selections = selections.map(({ namespaces, namespaceSelector, labelSelector }) => ({
      namespaces: new Set(namespaces),
      ...(namespaceSelector && { byLabels: LabelSelector.of(namespaceSelector) }),
      ...(labelSelector && { pods: LabelSelector.of(labelSelector) }),
    }));
    const named = this.#selections.find(({ byLabels }) => byLabels === undefined);
    this.namespaces = named?.namespaces;
  }

  /** `namespaceLabels`: the labels of the namespace. */
  matches(namespace: string, labels: Labels, namespaceLabels: Labels): boolean {
    return this.#selections.every(
      ({ namespaces, byLabels, pods }) =>
        (namespaces.has(namespace) || byLabels?.matches(namespaceLabels) === true) && pods?.matches(labels) === true,
    );
  }

  /** Pods that have a rule of the kind about this group, over the topology. */
  owners(kind: "repelling" | "drawing", topologyKey: string): Owners {
    let owners = this[kind].get(topologyKey);
    if (!owners) {
      owners = new Owners();
      this[kind].set(topologyKey, owners);
    }
    return owners;
  }

  get columns(): readonly Column[] {
    return [this.members, this.staying, ...[...this.repelling.values(), ...this.drawing.values()].map(({ column }) => column)];
  }
}

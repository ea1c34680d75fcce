import type { Resident } from "../node-table.ts";
import type { PodGroup } from "./pod-group.ts";

export type Labels = Readonly<Record<string, string>>;

/**
 * The groups that a pod belongs to: all that other pods' rules can see of it. Pods of the same groups share one, whatever else their labels say, so what
 * was found out for one of them holds for all.
 */
export class Kin {
  readonly key: string;
  /** By id. */
  readonly groups: readonly PodGroup[];
  users = 0;
  constructor(key: string, groups: readonly PodGroup[]) {
    this.key = key;
    this.groups = groups;
  }

  /** Whether some pod with a node refuses to be near pods of this kin. */
  get isRepelled(): boolean {
    for (const group of this.groups) for (const { column } of group.repelling.values()) if (column.total > 0) return true;
    return false;
  }
}

/** What selectors can ask for of a pod; pods that agree in it share one. */
export class SelectablePod {
  readonly key: string;
  readonly namespace: string;
  readonly labels: Labels;
  /** Changes when groups come and go, and when the namespace's labels change. */
  kin: Kin;
  users = 0;
  /** Such pods that have a node, with their rows. */
  readonly residents = new Map<Resident, number>();
  constructor(key: string, namespace: string, labels: Labels, kin: Kin) {
    this.key = key;
    this.namespace = namespace;
    this.labels = labels;
    this.kin = kin;
  }
}

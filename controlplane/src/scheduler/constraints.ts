import type { Affinity, NodeSelectorTerm, PodSpec, PreferredSchedulingTerm, Toleration } from "@tessera/proto";

/** Which nodes a pod may run on whatever they hold: the part of a pod that is judged against a node's labels and taints. */
export interface Constraints {
  readonly nodeSelector: Readonly<Record<string, string>>;
  /** Alternatives of requiredDuringSchedulingIgnoredDuringExecution; undefined: no such rule; empty: matches no node. */
  readonly requiredTerms: readonly NodeSelectorTerm[] | undefined;
  readonly preferredTerms: readonly PreferredSchedulingTerm[];
  readonly tolerations: readonly Toleration[];
}

export function podConstraints(spec: PodSpec): Constraints {
  const nodeAffinity: Affinity["nodeAffinity"] = spec.affinity?.nodeAffinity;
  const required = nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  return {
    nodeSelector: spec.nodeSelector ?? {},
    requiredTerms: required ? (required.nodeSelectorTerms ?? []) : undefined,
    preferredTerms: nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? [],
    tolerations: spec.tolerations ?? [],
  };
}

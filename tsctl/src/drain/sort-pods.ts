import type { Pod } from "@tessera/proto";

/** What the user allowed to happen to pods. */
export interface Permissions {
  readonly force: boolean;
  readonly ignoreDaemonSets: boolean;
  readonly deleteEmptyDirData: boolean;
}

export interface SortedPods {
  readonly leaving: readonly Pod[];
  /** What is lost for good, or stays, with the user's permission. */
  readonly warnings: readonly string[];
  /** What is not allowed. When there is any, no pod is touched. */
  readonly faults: readonly string[];
}

type Verdict = { readonly leaves: boolean; readonly warning?: string; readonly fault?: string };

/** Which pods of a node leave it. Each rule has the last word where it says no; the first warning or fault of a pod is told. */
export function sortPods(pods: readonly Pod[], permissions: Permissions): SortedPods {
  const leaving: Pod[] = [];
  const warnings = new Map<string, string[]>();
  const faults = new Map<string, string[]>();
  const note = (notes: Map<string, string[]>, text: string, { metadata }: Pod) =>
    notes.set(text, [...(notes.get(text) ?? []), `${metadata?.namespace}/${metadata?.name}`]);
  for (const pod of pods) {
    const verdict = judge(pod, permissions);
    if (verdict.leaves) leaving.push(pod);
    if (verdict.warning !== undefined) note(warnings, verdict.warning, pod);
    if (verdict.fault !== undefined) note(faults, verdict.fault, pod);
  }
  const tell = (notes: ReadonlyMap<string, readonly string[]>) => [...notes].map(([text, names]) => `${text}: ${names.join(", ")}`);
  return { leaving, warnings: tell(warnings), faults: tell(faults) };
}

function judge(pod: Pod, { force, ignoreDaemonSets, deleteEmptyDirData }: Permissions): Verdict {
  // A mirror of what the node runs by itself: deleting it changes nothing.
  if (pod.metadata?.annotations?.["kubernetes.io/config.mirror"] !== undefined) return { leaves: false };
  const hasEnded = pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
  if (hasEnded) return { leaves: true };
  const controller = pod.metadata?.ownerReferences?.find((owner) => owner.controller === true);
  if (controller?.kind === "DaemonSet") {
    return ignoreDaemonSets
      ? { leaves: false, warning: "ignoring DaemonSet-managed Pods" }
      : { leaves: false, fault: "cannot delete DaemonSet-managed Pods (use --ignore-daemonsets to ignore)" };
  }
  const holdsData = (pod.spec?.volumes ?? []).some((volume) => volume.emptyDir !== undefined);
  if (holdsData && !deleteEmptyDirData)
    return { leaves: false, fault: "cannot delete Pods with local storage (use --delete-emptydir-data to override)" };
  if (controller === undefined && !force)
    return { leaves: false, fault: "cannot delete Pods that declare no controller (use --force to override)" };
  return { leaves: true, ...(controller === undefined ? { warning: "deleting Pods that declare no controller" } : {}) };
}

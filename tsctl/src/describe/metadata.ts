import type { ApiObject } from "../api/api.ts";
import { type Line, line, maybeLine } from "./writer.ts";

const shownElsewhere = "kubectl.kubernetes.io/last-applied-configuration";

export function describeMetadata(metadata: ApiObject["metadata"], namespaced: boolean): Line[] {
  return [
    line("Name", metadata?.name),
    ...(namespaced ? [line("Namespace", metadata?.namespace)] : []),
    line("Labels", describePairs(metadata?.labels)),
    line("Annotations", describePairs(withoutLastApplied(metadata?.annotations))),
    line("Created", metadata?.creationTimestamp),
    ...maybeLine("Terminating since", metadata?.deletionTimestamp),
  ];
}

function withoutLastApplied(annotations: Readonly<Record<string, string>> | undefined): Record<string, string> {
  return Object.fromEntries(Object.entries(annotations ?? {}).filter(([key]) => key !== shownElsewhere));
}

export function describePairs(pairs: Readonly<Record<string, string>> | undefined, separator = "="): string[] {
  return Object.entries(pairs ?? {})
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([key, value]) => `${key}${separator}${value.length > 140 ? `${value.slice(0, 137)}...` : value}`);
}

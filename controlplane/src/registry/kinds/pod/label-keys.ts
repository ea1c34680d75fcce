import { isDeepStrictEqual } from "node:util";
import type { LabelSelector, LabelSelectorRequirement, Pod, PodAffinityTerm, PodSpec } from "@tessera/proto";

type Labels = Readonly<Record<string, string>>;

/** Something of a spec that selects pods by labels, and by keys of labels whose values are the pod's own. */
interface Selecting {
  labelSelector?: LabelSelector;
  matchLabelKeys?: readonly string[];
  mismatchLabelKeys?: readonly string[];
}

/**
 * Writes the values that the pod's labels have now into the selectors that name keys only (KEP-3633, and KEP-3243 for spreading), so that whoever
 * reads a selector finds all of it there. Where there is no selector, nothing is selected whatever the keys. Done twice it changes nothing.
 */
export function mergeLabelKeys({ spec, metadata }: Pod): void {
  for (const selecting of selectingParts(spec ?? {})) merge(selecting, metadata?.labels ?? {});
}

/** A pod may be replaced by the manifest that it was made from, which has the keys without the values that were merged then: those stay. */
export function keepLabelKeys(next: PodSpec, current: PodSpec): void {
  const merged = selectingParts(current);
  for (const [at, selecting] of selectingParts(next).entries()) {
    const before = merged[at];
    if (before?.labelSelector !== undefined && isWithoutMerged(selecting, before)) selecting.labelSelector = before.labelSelector;
  }
}

/** In a fixed order: a spec that has the same parts has them at the same places. */
function selectingParts({ affinity, topologySpreadConstraints = [] }: PodSpec): Selecting[] {
  const terms: PodAffinityTerm[] = [];
  for (const pods of [affinity?.podAffinity, affinity?.podAntiAffinity]) {
    terms.push(...(pods?.requiredDuringSchedulingIgnoredDuringExecution ?? []));
    for (const { podAffinityTerm } of pods?.preferredDuringSchedulingIgnoredDuringExecution ?? [])
      if (podAffinityTerm) terms.push(podAffinityTerm);
  }
  return [...terms, ...topologySpreadConstraints];
}

function merge(selecting: Selecting, labels: Labels): void {
  const { labelSelector, matchLabelKeys = [], mismatchLabelKeys = [] } = selecting;
  if (labelSelector === undefined || matchLabelKeys.length + mismatchLabelKeys.length === 0) return;
  const own = labelSelector.matchExpressions ?? [];
  const wanted = [...requirements(matchLabelKeys, "In", labels), ...requirements(mismatchLabelKeys, "NotIn", labels)];
  const added = wanted.filter((requirement) => !own.some((each) => isDeepStrictEqual(each, requirement)));
  if (added.length > 0) selecting.labelSelector = { ...labelSelector, matchExpressions: [...own, ...added] };
}

function requirements(keys: readonly string[], operator: "In" | "NotIn", labels: Labels): LabelSelectorRequirement[] {
  return keys.flatMap((key) => {
    const value = labels[key];
    return value === undefined ? [] : [{ key, operator, values: [value] }];
  });
}

/** Whether `merged` has the selector of `sent`, and requirements about its keys on top. */
function isWithoutMerged(sent: Selecting, merged: Selecting): boolean {
  const { labelSelector, matchLabelKeys = [], mismatchLabelKeys = [] } = sent;
  if (labelSelector === undefined) return false;
  const own = labelSelector.matchExpressions ?? [];
  const after = merged.labelSelector?.matchExpressions ?? [];
  const isOfKey = ({ key = "", operator }: LabelSelectorRequirement) =>
    (operator === "In" && matchLabelKeys.includes(key)) || (operator === "NotIn" && mismatchLabelKeys.includes(key));
  return (
    own.length < after.length &&
    isDeepStrictEqual(labelSelector.matchLabels ?? {}, merged.labelSelector?.matchLabels ?? {}) &&
    isDeepStrictEqual(own, after.slice(0, own.length)) &&
    after.slice(own.length).every(isOfKey)
  );
}

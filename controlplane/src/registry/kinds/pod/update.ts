import { isDeepStrictEqual } from "node:util";
import type { Container, Pod, PodSpec, Toleration } from "@tessera/proto";
import { type Fault, forbidden, invalid } from "../../faults.ts";
import { validateGates } from "./scheduling-gates.ts";
import { validatePod } from "./validate.ts";

const changeable =
  "pod updates may not change fields other than `spec.containers[*].image`, `spec.initContainers[*].image`, `spec.activeDeadlineSeconds`, `spec.tolerations` (only additions to existing tolerations), `spec.schedulingGates` (only removals), `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/** A pod's spec is a promise to its node: only few fields may change once it exists. */
export function validatePodUpdate(next: Pod, current: Pod): Fault[] {
  const faults = validatePod(next);
  const nextSpec = next.spec ?? {};
  const currentSpec = current.spec ?? {};
  faults.push(...validateContainerCount(nextSpec, currentSpec), ...validateDeadline(nextSpec, currentSpec));
  faults.push(...validateGates(nextSpec, currentSpec));
  const missing = (currentSpec.tolerations ?? []).filter(
    (toleration) => !(nextSpec.tolerations ?? []).some((each) => isSameToleration(each, toleration)),
  );
  if (missing.length > 0)
    faults.push(forbidden("spec.tolerations", "existing toleration can not be modified except its tolerationSeconds"));
  if (!isDeepStrictEqual(withoutChangeable(nextSpec, currentSpec), withoutChangeable(currentSpec, currentSpec))) {
    const fields = changedFields(nextSpec, currentSpec);
    faults.push(forbidden("spec", fields === "" ? changeable : `${changeable}; changed: ${fields}`));
  }
  return faults;
}

function validateContainerCount(next: PodSpec, current: PodSpec): Fault[] {
  return (["containers", "initContainers"] as const).flatMap((field) =>
    (next[field] ?? []).length === (current[field] ?? []).length
      ? []
      : [forbidden(`spec.${field}`, "pod updates may not add or remove containers")],
  );
}

/** The deadline may be set or come closer, never be taken away. */
function validateDeadline(next: PodSpec, current: PodSpec): Fault[] {
  const path = "spec.activeDeadlineSeconds";
  if (current.activeDeadlineSeconds === undefined) return [];
  if (next.activeDeadlineSeconds === undefined) return [invalid(path, null, "must not update from a positive integer to nil value")];
  if (next.activeDeadlineSeconds <= current.activeDeadlineSeconds) return [];
  return [invalid(path, next.activeDeadlineSeconds, "must be less than or equal to previous value")];
}

function isSameToleration(one: Toleration, other: Toleration): boolean {
  return isDeepStrictEqual({ ...one, tolerationSeconds: 0 }, { ...other, tolerationSeconds: 0 });
}

function withoutChangeable(spec: PodSpec, current: PodSpec): PodSpec {
  const imageless = (containers: Container[] | undefined) => containers?.map((container) => ({ ...container, image: "" }));
  const grace = (current.terminationGracePeriodSeconds ?? 0) < 0 ? 1 : spec.terminationGracePeriodSeconds;
  return dropUndefined({
    ...spec,
    containers: imageless(spec.containers),
    initContainers: imageless(spec.initContainers),
    tolerations: [],
    schedulingGates: undefined,
    activeDeadlineSeconds: undefined,
    terminationGracePeriodSeconds: grace,
  });
}

function dropUndefined(spec: PodSpec): PodSpec {
  return Object.fromEntries(Object.entries(spec).filter(([, value]) => value !== undefined));
}

/** Names of the fields of the spec that differ, for the message. */
function changedFields(next: PodSpec, current: PodSpec): string {
  const one: Record<string, unknown> = { ...withoutChangeable(next, current) };
  const other: Record<string, unknown> = { ...withoutChangeable(current, current) };
  return [...new Set([...Object.keys(one), ...Object.keys(other)])]
    .filter((field) => !isDeepStrictEqual(one[field], other[field]))
    .map((field) => `spec.${field}`)
    .sort()
    .join(", ");
}

/** Exit codes are history: a container that ended for good stays ended. */
export function validatePodStatusUpdate(next: Pod, current: Pod): Fault[] {
  const before = current.spec?.nodeName;
  if (before && next.spec?.nodeName !== before) return [forbidden("status.nodeName", "may not be changed directly")];
  return [];
}

import { type Pod, quantityMilliValue, type ResourceRequirements } from "@tessera/proto";

export type QosClass = "Guaranteed" | "Burstable" | "BestEffort";

const COUNTED = ["cpu", "memory"];

/** Kubernetes' classes: Guaranteed when every container's limits equal its requests, BestEffort when none says anything. */
export function qosClass(pod: Pod): QosClass {
  const containers = [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])];
  const all = containers.map((container) => container.resources ?? {});
  if (all.every((resources) => !saysAnything(resources))) return "BestEffort";
  return all.every(isGuaranteed) ? "Guaranteed" : "Burstable";
}

function saysAnything({ requests, limits }: ResourceRequirements): boolean {
  return COUNTED.some((name) => isPositive(requests?.[name]) || isPositive(limits?.[name]));
}

function isPositive(quantity: string | undefined): boolean {
  return quantity !== undefined && quantityMilliValue(quantity) > 0;
}

function isGuaranteed({ requests, limits }: ResourceRequirements): boolean {
  return COUNTED.every((name) => {
    const limit = limits?.[name];
    if (limit === undefined || !isPositive(limit)) return false;
    return quantityMilliValue(requests?.[name] ?? limit) === quantityMilliValue(limit);
  });
}

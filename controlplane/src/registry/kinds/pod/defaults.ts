import { type Container, type Pod, type PodSpec, quantityMilliValue, type ResourceRequirements, type Toleration } from "@tessera/proto";

/** How long pods stay on a node that is lost, unless they say otherwise. */
const lostNodeSeconds = 300;
const lostNodeTaints = ["node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"];

/** The classes that every cluster of Kubernetes has, for what a cluster or a node does not work without. */
export const knownPriorities: { readonly [className: string]: number } = {
  "system-cluster-critical": 2_000_000_000,
  "system-node-critical": 2_000_001_000,
};

/** Defaults that depend on other fields or on the cluster, so that the schema cannot declare them. */
export function defaultPodSpec(spec: PodSpec): void {
  spec.serviceAccountName ||= spec.serviceAccount || "default";
  spec.serviceAccount = spec.serviceAccountName;
  spec.priority ??= knownPriorities[spec.priorityClassName ?? ""] ?? 0;
  spec.preemptionPolicy ??= "PreemptLowerPriority";
  spec.tolerations = withLostNodeTolerations(spec.tolerations ?? []);
  for (const container of [...(spec.initContainers ?? []), ...(spec.containers ?? [])])
    defaultContainer(container, spec.hostNetwork === true);
}

function defaultContainer(container: Container, hostNetwork: boolean): void {
  defaultPullPolicy(container);
  const { limits, requests } = container.resources ?? {};
  if (limits !== undefined) container.resources = { ...container.resources, requests: { ...limits, ...requests } };
  for (const port of hostNetwork ? (container.ports ?? []) : []) port.hostPort ||= port.containerPort;
}

export function defaultPullPolicy(container: Pick<Container, "image" | "imagePullPolicy">): void {
  if (container.image) container.imagePullPolicy ||= hasMovingTag(container.image) ? "Always" : "IfNotPresent";
}

/** Whether the reference means "the newest": tag latest, or neither tag nor digest. */
function hasMovingTag(image: string): boolean {
  if (image.includes("@")) return false;
  const tag = /:([^/:]*)$/.exec(image)?.[1];
  return tag === undefined || tag === "latest";
}

function withLostNodeTolerations(tolerations: readonly Toleration[]): Toleration[] {
  const result = [...tolerations];
  for (const key of lostNodeTaints) {
    const covered = tolerations.some(
      (toleration) => (toleration.key === key || !toleration.key) && (toleration.effect === "NoExecute" || !toleration.effect),
    );
    if (!covered) result.push({ key, operator: "Exists", effect: "NoExecute", tolerationSeconds: lostNodeSeconds });
  }
  return result;
}

/** What a node under memory pressure takes into account: Guaranteed (limits equal requests everywhere), BestEffort (none at all), else Burstable. */
export function qosClass(pod: Pod): "Guaranteed" | "Burstable" | "BestEffort" {
  const all = [...(pod.spec?.initContainers ?? []), ...(pod.spec?.containers ?? [])].map((container) => container.resources ?? {});
  if (all.every((resources) => !asks(resources.requests) && !asks(resources.limits))) return "BestEffort";
  return all.every(isGuaranteed) ? "Guaranteed" : "Burstable";
}

function asks(quantities: { readonly [name: string]: string } | undefined): boolean {
  return ["cpu", "memory"].some((name) => quantities?.[name] !== undefined && quantityMilliValue(quantities[name]) > 0);
}

function isGuaranteed({ limits, requests }: ResourceRequirements): boolean {
  return ["cpu", "memory"].every((name) => {
    const limit = limits?.[name];
    const request = requests?.[name] ?? limit;
    return limit !== undefined && request !== undefined && quantityMilliValue(limit) === quantityMilliValue(request);
  });
}

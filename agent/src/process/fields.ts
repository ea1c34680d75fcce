import {
  type Container,
  type ObjectFieldSelector,
  type Pod,
  quantityMilliValue,
  quantityValue,
  type ResourceFieldSelector,
  TesseraError,
} from "@tessera/proto";

/** What a pod's containers may ask about themselves that the object does not hold yet. */
export interface PodFacts {
  readonly hostAddresses: readonly string[];
  readonly podAddresses: readonly string[];
  /** The node's own capacity: what a resource without limit comes to. */
  readonly nodeCpuMillis: number;
  readonly nodeMemoryBytes: number;
}

/** The value of a fieldRef. Throws TesseraError "Invalid" for a path that cannot be asked for. */
export function fieldValue(pod: Pod, facts: PodFacts, selector: ObjectFieldSelector): string {
  const path = selector.fieldPath ?? "";
  const keyed = /^metadata\.(labels|annotations)\['(.+)'\]$/.exec(path);
  if (keyed?.[1] !== undefined && keyed[2] !== undefined) return pod.metadata?.[keyed[1] as "labels" | "annotations"]?.[keyed[2]] ?? "";
  switch (path) {
    case "metadata.name":
    case "metadata.namespace":
    case "metadata.uid":
      return pod.metadata?.[path.slice("metadata.".length) as "name" | "namespace" | "uid"] ?? "";
    case "metadata.labels":
      return formatMap(pod.metadata?.labels);
    case "metadata.annotations":
      return formatMap(pod.metadata?.annotations);
    case "spec.nodeName":
      return pod.spec?.nodeName ?? "";
    case "spec.serviceAccountName":
      return pod.spec?.serviceAccountName ?? "";
    case "status.hostIP":
      return facts.hostAddresses[0] ?? "";
    case "status.hostIPs":
      return facts.hostAddresses.join(",");
    case "status.podIP":
      return facts.podAddresses[0] ?? "";
    case "status.podIPs":
      return facts.podAddresses.join(",");
    default:
      throw new TesseraError("Invalid", `fieldPath "${path}" is not one that a container can ask for`);
  }
}

/** One `key="value"` a line, sorted, as the downward API writes maps. */
function formatMap(map: Readonly<Record<string, string>> | undefined): string {
  return Object.entries(map ?? {})
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${JSON.stringify(value)}`)
    .join("\n");
}

/** The container that a resourceFieldRef names. Throws TesseraError "Invalid" when the pod has none of that name. */
export function namedContainer({ spec }: Pod, name: string): Container {
  const container = [...(spec?.containers ?? []), ...(spec?.initContainers ?? [])].find((one) => one.name === name);
  if (container !== undefined) return container;
  throw new TesseraError("Invalid", `resourceFieldRef names container "${name}", which is not in the pod`);
}

/** The value of a resourceFieldRef: a request or limit in units of the divisor, rounded up. */
export function resourceValue(container: Container, facts: PodFacts, selector: ResourceFieldSelector): string {
  const match = /^(requests|limits)\.(.+)$/.exec(selector.resource ?? "");
  if (match?.[1] === undefined || match[2] === undefined) {
    throw new TesseraError("Invalid", `resource "${selector.resource ?? ""}" is not of the form limits.cpu or requests.memory`);
  }
  const [kind, name] = [match[1] as "requests" | "limits", match[2]];
  const quantity = container.resources?.[kind]?.[name];
  const divisor = selector.divisor === undefined || selector.divisor === "0" ? "1" : selector.divisor;
  if (name === "cpu") {
    const millis = quantity !== undefined ? quantityMilliValue(quantity) : kind === "limits" ? facts.nodeCpuMillis : 0;
    return String(Math.ceil(millis / quantityMilliValue(divisor)));
  }
  const whole = quantity !== undefined ? quantityValue(quantity) : kind === "limits" && name === "memory" ? facts.nodeMemoryBytes : 0;
  return String(Math.ceil(whole / quantityValue(divisor)));
}

import type { Container, PodSpec } from "../../gen/api.ts";
import { quantityMilliValue, quantityValue } from "../quantity.ts";

/** Amounts by resource name: cpu in thousandths of a core, all others in base units (bytes, pieces). */
export type Amounts = ReadonlyMap<string, number>;

/** What a container without requests counts for in scores, so that such pods spread too. The values are those of Kubernetes. */
const SCORED_CPU_MILLI = 100;
const SCORED_MEMORY_BYTES = 200 * 1024 * 1024;

/** A quantity of a resource in the unit of `Amounts`. */
export function resourceAmount(resource: string, quantity: string): number {
  return resource === "cpu" ? quantityMilliValue(quantity) : quantityValue(quantity);
}

/**
 * What the pod takes from its node: all containers run together, init containers one by one before them, restartable init containers
 * (sidecars) from their turn to the end.
 */
export function podRequests(spec: PodSpec): Amounts {
  return combine(spec, containerRequests);
}

/** As `podRequests`, but for scores: containers that request no cpu or memory count for a little. */
export function scoredRequests(spec: PodSpec): { cpuMilli: number; memoryBytes: number } {
  const amounts = combine(spec, (container) => {
    const requests = new Map(containerRequests(container));
    if (!requests.has("cpu")) requests.set("cpu", SCORED_CPU_MILLI);
    if (!requests.has("memory")) requests.set("memory", SCORED_MEMORY_BYTES);
    return requests;
  });
  return { cpuMilli: amounts.get("cpu") ?? 0, memoryBytes: amounts.get("memory") ?? 0 };
}

/** Defaulting has copied limits into requests already where a request was missing. */
function containerRequests(container: Container): Amounts {
  const amounts = new Map<string, number>();
  for (const [resource, quantity] of Object.entries(container.resources?.requests ?? {})) {
    amounts.set(resource, resourceAmount(resource, quantity));
  }
  return amounts;
}

function combine(spec: PodSpec, requestsOf: (container: Container) => Amounts): Amounts {
  const total = new Map<string, number>();
  for (const container of spec.containers ?? []) add(total, requestsOf(container));
  const sidecars = new Map<string, number>();
  const starting = new Map<string, number>();
  for (const container of spec.initContainers ?? []) {
    const requests = requestsOf(container);
    if (container.restartPolicy === "Always") {
      add(total, requests);
      add(sidecars, requests);
      raise(starting, sidecars);
    } else {
      const withSidecars = new Map(requests);
      add(withSidecars, sidecars);
      raise(starting, withSidecars);
    }
  }
  raise(total, starting);
  for (const [resource, quantity] of Object.entries(spec.overhead ?? {}))
    add(total, new Map([[resource, resourceAmount(resource, quantity)]]));
  return total;
}

function add(into: Map<string, number>, amounts: Amounts): void {
  for (const [resource, amount] of amounts) into.set(resource, (into.get(resource) ?? 0) + amount);
}

function raise(into: Map<string, number>, amounts: Amounts): void {
  for (const [resource, amount] of amounts) into.set(resource, Math.max(into.get(resource) ?? 0, amount));
}

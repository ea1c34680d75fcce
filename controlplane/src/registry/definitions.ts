import type { ApiObject, ResourceDefinition } from "./definition.ts";
import { configMapDefinition } from "./kinds/config-map.ts";
import { eventDefinition } from "./kinds/event.ts";
import { eventsV1Definition } from "./kinds/events-v1.ts";
import { leaseDefinition } from "./kinds/lease.ts";
import { nodeMetricsDefinition, podMetricsDefinition } from "./kinds/metrics.ts";
import { namespaceDefinition } from "./kinds/namespace.ts";
import { nodeDefinition } from "./kinds/node.ts";
import { podDefinition } from "./kinds/pod/pod.ts";
import { podDisruptionBudgetDefinition } from "./kinds/pod-disruption-budget.ts";
import { secretDefinition } from "./kinds/secret.ts";
import { serviceAccountDefinition } from "./kinds/service-account.ts";

/** The definitions of all resources, by the name that `Registry` gives them. */
export const definitions = {
  pods: podDefinition,
  nodes: nodeDefinition,
  namespaces: namespaceDefinition,
  configMaps: configMapDefinition,
  secrets: secretDefinition,
  serviceAccounts: serviceAccountDefinition,
  leases: leaseDefinition,
  podDisruptionBudgets: podDisruptionBudgetDefinition,
  events: eventDefinition,
  eventsV1: eventsV1Definition,
  nodeMetrics: nodeMetricsDefinition,
  podMetrics: podMetricsDefinition,
} as const;

/** A definition whose kind is only known at run time. Its functions get objects that were decoded by the schema of that very kind. */
export type AnyDefinition = ResourceDefinition<ApiObject>;

/** Forgets which kind a definition is for, so that all of them can be kept in one table. */
export function anyDefinition<T extends ApiObject>(definition: ResourceDefinition<T>): AnyDefinition {
  return definition as unknown as AnyDefinition;
}

import type { NodeMetrics, PodMetrics } from "@tessera/proto";
import { quantityMilliValue, quantityValue } from "@tessera/proto";
import type { Column, ResourceDefinition } from "../definition.ts";
import { nameColumn, plainStrategy } from "../strategy.ts";

type Usage = Readonly<Record<string, string>>;

function usageColumns<T extends NodeMetrics | PodMetrics>(usages: (object: T) => readonly Usage[]): readonly Column<T>[] {
  const sum = (object: T, amount: (usage: Usage) => number) => usages(object).reduce((total, usage) => total + amount(usage), 0);
  return [
    nameColumn,
    {
      name: "CPU",
      type: "string",
      description: "Thousandths of a processor, the mean of the window.",
      cell: (object) => `${sum(object, (usage) => quantityMilliValue(usage["cpu"] ?? "0"))}m`,
    },
    {
      name: "Memory",
      type: "string",
      description: "Memory in use that could not be given away at once.",
      cell: (object) => `${Math.floor(sum(object, (usage) => quantityValue(usage["memory"] ?? "0")) / 1024)}Ki`,
    },
    { name: "Window", type: "string", description: "Over which time CPU is the mean.", cell: (object) => object.window ?? "" },
  ];
}

/** Made from what nodes report, when they are asked for; nothing of them is stored. */
const shared = {
  group: "metrics.k8s.io",
  version: "v1beta1",
  // As in Kubernetes: "node" and "pod" mean the things themselves.
  singular: "",
  shortNames: [],
  categories: [],
  verbs: ["get", "list"],
  subresources: [],
  selectableFields: {},
  returnsDeletedObject: false,
} as const;

export const nodeMetricsDefinition: ResourceDefinition<NodeMetrics> = {
  ...shared,
  kind: "NodeMetrics",
  plural: "nodes",
  namespaced: false,
  columns: usageColumns<NodeMetrics>((metrics) => [metrics.usage ?? {}]),
  strategy: plainStrategy<NodeMetrics>(),
};

export const podMetricsDefinition: ResourceDefinition<PodMetrics> = {
  ...shared,
  kind: "PodMetrics",
  plural: "pods",
  namespaced: true,
  columns: usageColumns<PodMetrics>((metrics) => (metrics.containers ?? []).map((container) => container.usage ?? {})),
  strategy: plainStrategy<PodMetrics>(),
};

import { canonicalQuantity, formatQuantity, type Node, type NodeMetrics, type ObjectMeta, type Pod, type PodMetrics } from "@tessera/proto";
import { formatTime } from "../registry/object-meta.ts";
import type { MeasuredContainer, MeasuredUsage } from "./usage.ts";

const apiVersion = "metrics.k8s.io/v1beta1";

export function toNodeMetrics({ metadata }: Node, measured: MeasuredUsage): NodeMetrics {
  return {
    apiVersion,
    kind: "NodeMetrics",
    metadata: metaOf(metadata, measured.atMs),
    timestamp: formatTime(measured.atMs),
    window: formatWindow(measured.windowMs),
    usage: toUsage(measured),
  };
}

/** `containers` has at least one entry. */
export function toPodMetrics({ metadata }: Pod, containers: readonly MeasuredContainer[]): PodMetrics {
  const atMs = Math.max(...containers.map((container) => container.atMs));
  return {
    apiVersion,
    kind: "PodMetrics",
    metadata: metaOf(metadata, atMs),
    timestamp: formatTime(atMs),
    window: formatWindow(Math.max(...containers.map((container) => container.windowMs))),
    containers: containers.map((container) => ({ name: container.name, usage: toUsage(container) })),
  };
}

/** Metrics are found by their owner's labels, and are made when they are asked for. */
function metaOf(owner: ObjectMeta | undefined, atMs: number): ObjectMeta {
  const { name, namespace, labels } = owner ?? {};
  return {
    ...(name === undefined ? {} : { name }),
    ...(namespace === undefined ? {} : { namespace }),
    ...(labels === undefined ? {} : { labels: { ...labels } }),
    creationTimestamp: formatTime(atMs),
  };
}

function toUsage({ nanoCores, memoryBytes }: MeasuredUsage): { [resource: string]: string } {
  return { cpu: canonicalQuantity(`${nanoCores}n`) ?? "0", memory: formatQuantity(memoryBytes, "BinarySI") };
}

/** As Go writes and reads a Duration. */
function formatWindow(windowMs: number): string {
  return `${windowMs / 1000}s`;
}

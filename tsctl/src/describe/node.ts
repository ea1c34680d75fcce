import { formatQuantity, type Node, type Pod, quantityMilliValue, quantityValue } from "@tessera/proto";
import { formatAge } from "../print/age.ts";
import { describeMetadata, describePairs } from "./metadata.ts";
import { type Line, line, maybeLine, section } from "./writer.ts";

/** What a person wants to know of a node and the pods on it, above its events. */
export function describeNode(node: Node, pods: readonly Pod[], now: number): Line[] {
  const { spec, status } = node;
  const conditions = (status?.conditions ?? []).map((condition) => [
    condition.type ?? "",
    condition.status ?? "",
    formatAge(condition.lastTransitionTime, now),
    condition.reason ?? "",
    condition.message ?? "",
  ]);
  const info = Object.entries(status?.nodeInfo ?? {}).filter(([, value]) => typeof value === "string" && value !== "");
  return [
    ...describeMetadata(node.metadata, false),
    line(
      "Taints",
      (spec?.taints ?? []).map((taint) => `${taint.key}${taint.value ? `=${taint.value}` : ""}:${taint.effect}`),
    ),
    line("Unschedulable", String(spec?.unschedulable ?? false)),
    ...maybeLine("PodCIDR", spec?.podCIDR),
    { name: "Conditions", table: conditions.length === 0 ? [] : [["TYPE", "STATUS", "SINCE", "REASON", "MESSAGE"], ...conditions] },
    section(
      "Addresses",
      (status?.addresses ?? []).map((address) => line(address.type ?? "", address.address)),
    ),
    section("Capacity", describeQuantities(status?.capacity)),
    section("Allocatable", describeQuantities(status?.allocatable)),
    section(
      "System Info",
      info.map(([name, value]) => line(name, String(value))),
    ),
    section(
      "Images",
      (status?.images ?? []).map((image) => ({ text: `${imageName(image)} (${formatBytes(image.sizeBytes)})` })),
    ),
    describePods(pods, now),
    describeRequests(node, pods),
  ];
}

const describeQuantities = (quantities: Readonly<Record<string, string>> | undefined): Line[] =>
  describePairs(quantities, "\0").map((pair) => {
    const [name = "", value = ""] = pair.split("\0");
    return line(name, value);
  });

function describePods(pods: readonly Pod[], now: number): Line {
  const rows = pods.map((pod) => [
    pod.metadata?.namespace ?? "",
    pod.metadata?.name ?? "",
    pod.status?.phase ?? "",
    sumText(pod, "requests", "cpu"),
    sumText(pod, "requests", "memory"),
    formatAge(pod.metadata?.creationTimestamp, now),
  ]);
  return {
    name: "Pods",
    table: rows.length === 0 ? [] : [["NAMESPACE", "NAME", "STATUS", "CPU REQUESTS", "MEMORY REQUESTS", "AGE"], ...rows],
  };
}

function describeRequests(node: Node, pods: readonly Pod[]): Line {
  const active = pods.filter((pod) => pod.status?.phase !== "Succeeded" && pod.status?.phase !== "Failed");
  const rows = (["cpu", "memory"] as const).map((resource) => {
    const total = active.reduce((sum, pod) => sum + sum1(pod, "requests", resource), 0);
    const limits = active.reduce((sum, pod) => sum + sum1(pod, "limits", resource), 0);
    const allocatable = amount(node.status?.allocatable?.[resource] ?? "0", resource);
    const share = (value: number) => (allocatable === 0 ? "" : ` (${Math.round((value / allocatable) * 100)}%)`);
    return [resource, `${amountText(total, resource)}${share(total)}`, `${amountText(limits, resource)}${share(limits)}`];
  });
  return { name: "Allocated", table: [["RESOURCE", "REQUESTS", "LIMITS"], ...rows] };
}

type Resource = "cpu" | "memory";

/** Millicores or bytes. */
function amount(quantity: string, resource: Resource): number {
  return Number(resource === "cpu" ? quantityMilliValue(quantity) : quantityValue(quantity));
}

function sum1(pod: Pod, kind: "requests" | "limits", resource: Resource): number {
  const quantities = (pod.spec?.containers ?? []).map((container) => container.resources?.[kind]?.[resource] ?? "0");
  return quantities.reduce((sum, quantity) => sum + amount(quantity, resource), 0);
}

const sumText = (pod: Pod, kind: "requests" | "limits", resource: Resource): string => amountText(sum1(pod, kind, resource), resource);

function amountText(value: number, resource: Resource): string {
  return resource === "cpu" ? (value === 0 ? "0" : `${value}m`) : formatQuantity(value, "BinarySI");
}

/** A digest is a name too, but one for people is better. */
export function imageName(image: NonNullable<NonNullable<Node["status"]>["images"]>[number]): string {
  const names = image.names ?? [];
  return names.find((name) => !name.includes("@")) ?? names[0] ?? "<none>";
}

export function formatBytes(bytes: number | string | undefined): string {
  const value = Number(bytes ?? 0);
  for (const [unit, size] of [
    ["GB", 1e9],
    ["MB", 1e6],
    ["kB", 1e3],
  ] as const) {
    if (value >= size) return `${(value / size).toFixed(1)} ${unit}`;
  }
  return `${value} B`;
}

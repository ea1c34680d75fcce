import { isDeepStrictEqual } from "node:util";
import { isQuantity, type Node, type Taint } from "@tessera/proto";
import { allVerbs, type ResourceDefinition } from "../definition.ts";
import { duplicate, type Fault, forbidden, invalid, notSupported, required } from "../faults.ts";
import { checkLabelValue, checkQualifiedName } from "../names.ts";
import { ageColumn, nameColumn, plainStrategy } from "../strategy.ts";

const nodeKind = { group: "", version: "v1", kind: "Node" };
const roleLabel = "node-role.kubernetes.io/";

export const nodeDefinition: ResourceDefinition<Node> = {
  ...nodeKind,
  plural: "nodes",
  singular: "node",
  shortNames: ["no"],
  categories: [],
  namespaced: false,
  verbs: allVerbs,
  subresources: [
    { name: "images", kind: { group: "", version: "v1", kind: "NodeImages" }, verbs: ["create", "delete", "get"] },
    { name: "status", kind: nodeKind, verbs: ["get", "patch", "update"] },
  ],
  selectableFields: { "spec.unschedulable": (node) => String(node.spec?.unschedulable ?? false) },
  returnsDeletedObject: false,
  columns: [
    nameColumn,
    { name: "Status", type: "string", description: "Whether the node is ready, and whether new pods may go there.", cell: statusOf },
    { name: "Roles", type: "string", description: "From labels node-role.kubernetes.io/ROLE.", cell: rolesOf },
    ageColumn,
    { name: "Version", type: "string", description: "Version of the agent.", cell: (node) => node.status?.nodeInfo?.kubeletVersion ?? "" },
    {
      name: "Internal-IP",
      type: "string",
      priority: 1,
      description: "Address within the cluster.",
      cell: (node) => addressOf(node, "InternalIP"),
    },
    {
      name: "External-IP",
      type: "string",
      priority: 1,
      description: "Address from outside.",
      cell: (node) => addressOf(node, "ExternalIP"),
    },
    {
      name: "OS-Image",
      type: "string",
      priority: 1,
      description: "Operating system.",
      cell: (node) => node.status?.nodeInfo?.osImage || "<unknown>",
    },
    {
      name: "Kernel-Version",
      type: "string",
      priority: 1,
      description: "Kernel.",
      cell: (node) => node.status?.nodeInfo?.kernelVersion || "<unknown>",
    },
    {
      name: "Container-Runtime",
      type: "string",
      priority: 1,
      description: "What runs the containers.",
      cell: (node) => node.status?.nodeInfo?.containerRuntimeVersion || "<unknown>",
    },
  ],
  strategy: plainStrategy<Node>({
    validate,
    prepareForUpdate(next, current) {
      next.status = current.status;
    },
    validateUpdate: (next, current) => [...validate(next), ...validateCidrUpdate(next, current)],
    parts: {
      status: {
        prepare(next, current) {
          next.spec = current.spec;
        },
        validate: validateStatus,
      },
    },
  }),
};

function statusOf(node: Node): string {
  const ready = node.status?.conditions?.find((condition) => condition.type === "Ready");
  const word = ready === undefined ? "Unknown" : ready.status === "True" ? "Ready" : "NotReady";
  return node.spec?.unschedulable ? `${word},SchedulingDisabled` : word;
}

function rolesOf(node: Node): string {
  const roles = Object.entries(node.metadata?.labels ?? {}).flatMap(([key, value]) => {
    if (key.startsWith(roleLabel) && key.length > roleLabel.length) return [key.slice(roleLabel.length)];
    return key === "kubernetes.io/role" && value !== "" ? [value] : [];
  });
  return roles.length === 0 ? "<none>" : [...new Set(roles)].sort().join(",");
}

function addressOf(node: Node, type: string): string {
  return node.status?.addresses?.find((address) => address.type === type)?.address ?? "<none>";
}

function validate(node: Node): Fault[] {
  return [...validateTaints(node.spec?.taints ?? []), ...validateStatus(node)];
}

function validateTaints(taints: readonly Taint[]): Fault[] {
  const faults: Fault[] = [];
  const seen = new Set<string>();
  for (const [index, taint] of taints.entries()) {
    const path = `spec.taints[${index}]`;
    const key = taint.key ?? "";
    const keyFault = key === "" ? undefined : checkQualifiedName(key);
    if (key === "") faults.push(required(`${path}.key`));
    else if (keyFault !== undefined) faults.push(invalid(`${path}.key`, key, keyFault));
    const valueFault = checkLabelValue(taint.value ?? "");
    if (valueFault !== undefined) faults.push(invalid(`${path}.value`, taint.value, valueFault));
    const effects = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
    if (!taint.effect) faults.push(required(`${path}.effect`));
    else if (!effects.includes(taint.effect)) faults.push(notSupported(`${path}.effect`, taint.effect, effects));
    if (seen.has(`${key}:${taint.effect}`)) faults.push(duplicate(path, `${key}:${taint.effect}`));
    seen.add(`${key}:${taint.effect}`);
  }
  return faults;
}

function validateStatus(node: Node): Fault[] {
  const faults: Fault[] = [];
  for (const field of ["capacity", "allocatable"] as const) {
    for (const [name, quantity] of Object.entries(node.status?.[field] ?? {})) {
      if (!isQuantity(quantity)) faults.push(invalid(`status.${field}[${name}]`, quantity, "must be a quantity"));
    }
  }
  return faults;
}

/** A node keeps the addresses of its pods for life. */
function validateCidrUpdate(next: Node, current: Node): Fault[] {
  const faults: Fault[] = [];
  for (const field of ["podCIDR", "podCIDRs", "providerID"] as const) {
    const before = current.spec?.[field];
    if (before !== undefined && before.length > 0 && !isDeepStrictEqual(next.spec?.[field], before)) {
      faults.push(forbidden(`spec.${field}`, "node updates may not change this field except from empty to valid"));
    }
  }
  return faults;
}

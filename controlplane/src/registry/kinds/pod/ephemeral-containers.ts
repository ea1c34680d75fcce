import { isDeepStrictEqual } from "node:util";
import type { EphemeralContainer, Pod } from "@tessera/proto";
import { duplicate, type Fault, forbidden } from "../../faults.ts";
import { validateContainer } from "./containers.ts";
import { defaultPullPolicy } from "./defaults.ts";

/** What only containers have that the pod was made with: it was placed by their resources, and lives by their probes. */
const notForEphemeral = [
  "ports",
  "livenessProbe",
  "readinessProbe",
  "startupProbe",
  "lifecycle",
  "resources",
  "resizePolicy",
  "restartPolicy",
  "restartPolicyRules",
] as const;

/** A pod is not made with ephemeral containers: they are put into one that runs. */
export function forbidEphemeralContainers({ spec }: Pod): Fault[] {
  if ((spec?.ephemeralContainers ?? []).length === 0) return [];
  return [forbidden("spec.ephemeralContainers", "cannot be set on create; use the ephemeralcontainers subresource")];
}

/** Leaves of `next` nothing but its ephemeral containers. */
export function takeEphemeralContainers(next: Pod, current: Pod): void {
  const { ephemeralContainers } = next.spec ?? {};
  for (const container of ephemeralContainers ?? []) defaultPullPolicy(container);
  next.spec = { ...current.spec, ...(ephemeralContainers === undefined ? {} : { ephemeralContainers }) };
  if (ephemeralContainers === undefined) delete next.spec.ephemeralContainers;
  next.status = current.status;
}

/** Ephemeral containers can be added to a pod; those that are there stay, as they are. */
export function validateEphemeralContainers(next: Pod, current: Pod): Fault[] {
  const before = current.spec?.ephemeralContainers ?? [];
  const wanted = next.spec?.ephemeralContainers ?? [];
  const faults = before.flatMap((container) => checkKept(container, wanted));
  const { containers = [], initContainers = [], volumes = [] } = next.spec ?? {};
  const targets = new Set([...containers, ...initContainers].map(({ name }) => name));
  const volumeNames = new Set(volumes.map(({ name = "" }) => name));
  const names = new Set(targets);
  for (const [index, container] of wanted.entries()) {
    const path = `spec.ephemeralContainers[${index}]`;
    if (names.has(container.name)) faults.push(duplicate(`${path}.name`, container.name));
    names.add(container.name);
    if (before.some(({ name }) => name === container.name)) continue;
    faults.push(...validateContainer(container, path, volumeNames), ...checkLimits(container, path));
    const { targetContainerName: target } = container;
    if (target && !targets.has(target)) {
      faults.push({ type: "Invalid", path: `${path}.targetContainerName`, message: `Not found: ${JSON.stringify(target)}` });
    }
  }
  return faults;
}

function checkKept(container: EphemeralContainer, wanted: readonly EphemeralContainer[]): Fault[] {
  const index = wanted.findIndex(({ name }) => name === container.name);
  const name = JSON.stringify(container.name);
  if (index < 0) return [forbidden("spec.ephemeralContainers", `existing ephemeral containers ${name} may not be removed`)];
  if (isDeepStrictEqual(container, wanted[index])) return [];
  return [forbidden(`spec.ephemeralContainers[${index}]`, `existing ephemeral containers ${name} may not be changed`)];
}

function checkLimits(container: EphemeralContainer, path: string): Fault[] {
  const fields = notForEphemeral.filter((field) => isGiven(container[field])).map((field) => `${path}.${field}`);
  for (const [index, mount] of (container.volumeMounts ?? []).entries()) {
    for (const field of ["subPath", "subPathExpr"] as const) if (mount[field]) fields.push(`${path}.volumeMounts[${index}].${field}`);
  }
  return fields.map((field) => forbidden(field, "cannot be set for an ephemeral container"));
}

/** Clients that write every field send empty lists and objects. */
function isGiven(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return value !== undefined && value !== "";
  return Object.keys(value).length > 0;
}

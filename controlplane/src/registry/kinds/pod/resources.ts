import { compareQuantities, isQuantity, type PodSpec, quantityMilliValue, quantityValue, type ResourceRequirements } from "@tessera/proto";
import { type Fault, forbidden, invalid } from "../../faults.ts";
import { checkQualifiedName } from "../../names.ts";

type Quantities = { readonly [name: string]: string } | undefined;

const hugePages = "hugepages-";
const standardResources = new Set(["cpu", "memory", "ephemeral-storage"]);

/** Requests and limits of one container. */
export function validateResources(resources: ResourceRequirements | undefined, path: string): Fault[] {
  const { limits, requests, claims } = resources ?? {};
  const faults = [...validateQuantities(limits, `${path}.limits`), ...validateQuantities(requests, `${path}.requests`)];
  if ((claims ?? []).length > 0) faults.push(forbidden(`${path}.claims`, "dynamic resource allocation is not supported"));
  // What is no quantity cannot be compared.
  if (faults.length > 0) return faults;
  for (const [name, request] of Object.entries(requests ?? {})) {
    const limit = limits?.[name];
    if (limit === undefined) {
      if (isIndivisible(name))
        faults.push({ type: "Required", path: `${path}.limits`, message: `Limit must be set for non overcommitable resources: ${name}` });
    } else if (isIndivisible(name) && compareQuantities(request, limit) !== 0) {
      faults.push(invalid(`${path}.requests`, request, `must be equal to ${name} limit of ${limit}`));
    } else if (compareQuantities(request, limit) > 0) {
      faults.push(invalid(`${path}.requests`, request, `must be less than or equal to ${name} limit of ${limit}`));
    }
  }
  return faults;
}

/** A map from resources to amounts of them. */
export function validateQuantities(quantities: Quantities, path: string): Fault[] {
  const faults: Fault[] = [];
  for (const [name, quantity] of Object.entries(quantities ?? {})) {
    const at = `${path}[${name}]`;
    const nameFault = checkQualifiedName(name);
    if (nameFault !== undefined) faults.push(invalid(at, name, nameFault));
    else if (!name.includes("/") && !standardResources.has(name) && !name.startsWith(hugePages)) {
      faults.push(invalid(at, name, "must be a standard resource type or fully qualified"));
    }
    if (!isQuantity(quantity)) faults.push(invalid(at, quantity, "must be a quantity such as 500m or 1Gi"));
    else if (quantityMilliValue(quantity) < 0) faults.push(invalid(at, quantity, "must be greater than or equal to 0"));
    else if (isIndivisible(name) && quantityMilliValue(quantity) % 1000 !== 0) faults.push(invalid(at, quantity, "must be an integer"));
  }
  return faults;
}

/** Huge pages come whole, and with them some memory or CPU: pages alone would make a pod that nothing else holds back. */
export function validateHugePages(spec: PodSpec): Fault[] {
  const faults: Fault[] = [];
  let takesPages = false;
  let takesOther = false;
  for (const [field, containers] of [
    ["initContainers", spec.initContainers ?? []] as const,
    ["containers", spec.containers ?? []] as const,
  ]) {
    for (const [index, { resources }] of containers.entries()) {
      for (const [name, quantity] of Object.entries(resources?.limits ?? {})) {
        if (name === "cpu" || name === "memory") takesOther = true;
        if (!name.startsWith(hugePages)) continue;
        takesPages = true;
        const fault = hugePagesFault(name.slice(hugePages.length), quantity);
        if (fault !== undefined) faults.push(invalid(`spec.${field}[${index}].resources.limits[${name}]`, quantity, fault));
      }
      takesOther ||= resources?.requests?.["cpu"] !== undefined || resources?.requests?.["memory"] !== undefined;
    }
  }
  if (takesPages && !takesOther) faults.push(forbidden("spec.containers", "HugePages require cpu or memory"));
  return faults;
}

function hugePagesFault(size: string, quantity: string): string | undefined {
  const pageBytes = isQuantity(size) ? quantityValue(size) : 0;
  if (pageBytes <= 0) return `"${size}" is not the size of a page, such as 2Mi`;
  // What is no quantity is told elsewhere.
  if (!isQuantity(quantity) || quantityValue(quantity) % pageBytes === 0) return undefined;
  return `must be a multiple of the page's size, ${size}`;
}

/** Huge pages and devices are handed out whole and cannot be promised twice. */
function isIndivisible(name: string): boolean {
  return name.startsWith(hugePages) || (name.includes("/") && !name.startsWith("kubernetes.io/"));
}

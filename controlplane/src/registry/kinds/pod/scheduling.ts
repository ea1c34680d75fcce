import type {
  Affinity,
  LabelSelector,
  NodeSelectorRequirement,
  NodeSelectorTerm,
  PodAffinityTerm,
  Toleration,
  TopologySpreadConstraint,
} from "@tessera/proto";
import { duplicate, type Fault, forbidden, invalid, notSupported, required } from "../../faults.ts";
import { checkDnsLabel, checkLabelValue, checkQualifiedName } from "../../names.ts";
import { validateLabels } from "../../object-meta.ts";

const operators = ["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"];

export function validateTolerations(tolerations: readonly Toleration[]): Fault[] {
  return tolerations.flatMap((toleration, index) => {
    const path = `spec.tolerations[${index}]`;
    const { key = "", operator = "Equal", value = "", effect = "", tolerationSeconds } = toleration;
    const faults: Fault[] = [];
    const keyFault = key === "" ? undefined : checkQualifiedName(key);
    if (keyFault !== undefined) faults.push(invalid(`${path}.key`, key, keyFault));
    if (key === "" && operator !== "Exists") {
      faults.push(
        invalid(`${path}.operator`, operator, 'operator must be Exists when `key` is empty, which means "match all values and all keys"'),
      );
    }
    if (tolerationSeconds !== undefined && effect !== "NoExecute") {
      faults.push(invalid(`${path}.effect`, effect, "effect must be 'NoExecute' when `tolerationSeconds` is set"));
    }
    const valueFault = checkLabelValue(value);
    if (operator === "Exists" && value !== "")
      faults.push(invalid(`${path}.operator`, toleration, "value must be empty when `operator` is 'Exists'"));
    else if (valueFault !== undefined) faults.push(invalid(`${path}.value`, value, valueFault));
    return faults;
  });
}

export function validateAffinity(affinity: Affinity | undefined): Fault[] {
  const path = "spec.affinity";
  const { nodeAffinity, podAffinity, podAntiAffinity } = affinity ?? {};
  const faults: Fault[] = [];
  const terms = nodeAffinity?.requiredDuringSchedulingIgnoredDuringExecution;
  const termsPath = `${path}.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms`;
  if (terms !== undefined && (terms.nodeSelectorTerms ?? []).length === 0) {
    faults.push(required(termsPath, "must have at least one node selector term"));
  }
  for (const [index, term] of (terms?.nodeSelectorTerms ?? []).entries()) faults.push(...validateTerm(term, `${termsPath}[${index}]`));
  for (const [index, preferred] of (nodeAffinity?.preferredDuringSchedulingIgnoredDuringExecution ?? []).entries()) {
    const at = `${path}.nodeAffinity.preferredDuringSchedulingIgnoredDuringExecution[${index}]`;
    faults.push(...validateWeight(preferred.weight, at), ...validateTerm(preferred.preference ?? {}, `${at}.preference`));
  }
  for (const [name, pods] of [["podAffinity", podAffinity] as const, ["podAntiAffinity", podAntiAffinity] as const]) {
    for (const [index, term] of (pods?.requiredDuringSchedulingIgnoredDuringExecution ?? []).entries()) {
      faults.push(...validatePodTerm(term, `${path}.${name}.requiredDuringSchedulingIgnoredDuringExecution[${index}]`));
    }
    for (const [index, preferred] of (pods?.preferredDuringSchedulingIgnoredDuringExecution ?? []).entries()) {
      const at = `${path}.${name}.preferredDuringSchedulingIgnoredDuringExecution[${index}]`;
      faults.push(...validateWeight(preferred.weight, at), ...validatePodTerm(preferred.podAffinityTerm ?? {}, `${at}.podAffinityTerm`));
    }
  }
  return faults;
}

function validateWeight(weight: number | undefined, path: string): Fault[] {
  if (weight !== undefined && weight >= 1 && weight <= 100) return [];
  return [invalid(`${path}.weight`, weight, "must be in the range 1-100")];
}

function validateTerm(term: NodeSelectorTerm, path: string): Fault[] {
  return [
    ...(term.matchExpressions ?? []).flatMap((requirement, index) =>
      validateRequirement(requirement, `${path}.matchExpressions[${index}]`),
    ),
    ...(term.matchFields ?? []).flatMap((requirement, index) => validateFieldRequirement(requirement, `${path}.matchFields[${index}]`)),
  ];
}

function validateRequirement({ key = "", operator = "", values = [] }: NodeSelectorRequirement, path: string): Fault[] {
  const faults: Fault[] = [];
  const keyFault = checkQualifiedName(key);
  if (keyFault !== undefined) faults.push(invalid(`${path}.key`, key, keyFault));
  switch (operator) {
    case "In":
    case "NotIn":
      if (values.length === 0) faults.push(required(`${path}.values`, "must be specified when `operator` is 'In' or 'NotIn'"));
      break;
    case "Exists":
    case "DoesNotExist":
      if (values.length > 0) faults.push(forbidden(`${path}.values`, "may not be specified when `operator` is 'Exists' or 'DoesNotExist'"));
      break;
    case "Gt":
    case "Lt":
      if (values.length !== 1) faults.push(required(`${path}.values`, "must be specified single value when `operator` is 'Lt' or 'Gt'"));
      break;
    default:
      faults.push(notSupported(`${path}.operator`, operator, operators));
  }
  for (const [index, value] of values.entries()) {
    const fault = checkLabelValue(value);
    if (fault !== undefined) faults.push(invalid(`${path}.values[${index}]`, value, fault));
  }
  return faults;
}

/** The only field of nodes that can be selected by is the name. */
function validateFieldRequirement({ key = "", operator = "", values = [] }: NodeSelectorRequirement, path: string): Fault[] {
  const faults: Fault[] = [];
  if (key !== "metadata.name") faults.push(notSupported(`${path}.key`, key, ["metadata.name"]));
  if (operator !== "In" && operator !== "NotIn") faults.push(notSupported(`${path}.operator`, operator, ["In", "NotIn"]));
  if (values.length !== 1)
    faults.push(required(`${path}.values`, "must be only one value when `operator` is 'In' or 'NotIn' for node field selector"));
  return faults;
}

function validatePodTerm(term: PodAffinityTerm, path: string): Fault[] {
  const faults: Fault[] = [];
  const key = term.topologyKey ?? "";
  const keyFault = key === "" ? "can not be empty" : checkQualifiedName(key);
  if (keyFault !== undefined)
    faults.push(key === "" ? required(`${path}.topologyKey`, keyFault) : invalid(`${path}.topologyKey`, key, keyFault));
  for (const [index, namespace] of (term.namespaces ?? []).entries()) {
    const fault = checkDnsLabel(namespace);
    if (fault !== undefined) faults.push(invalid(`${path}.namespaces[${index}]`, namespace, fault));
  }
  faults.push(...validateSelector(term.labelSelector, `${path}.labelSelector`));
  faults.push(...validateSelector(term.namespaceSelector, `${path}.namespaceSelector`));
  faults.push(...validateLabelKeys(term, path));
  return faults;
}

function validateSelector({ matchLabels, matchExpressions = [] }: LabelSelector = {}, path: string): Fault[] {
  return [
    ...validateLabels(matchLabels, `${path}.matchLabels`),
    ...matchExpressions.flatMap((requirement, index) => validateRequirement(requirement, `${path}.matchExpressions[${index}]`)),
  ];
}

/** What KEP-3633 and KEP-3243 ask of keys that are merged into the selector; by now they are. */
function validateLabelKeys({ labelSelector, matchLabelKeys = [], mismatchLabelKeys = [] }: PodAffinityTerm, path: string): Fault[] {
  const faults: Fault[] = [];
  for (const [field, keys] of Object.entries({ matchLabelKeys, mismatchLabelKeys })) {
    if (keys.length > 0 && labelSelector === undefined)
      faults.push(forbidden(`${path}.${field}`, "must not be specified when labelSelector is not set"));
    for (const [index, key] of keys.entries()) {
      const fault = checkQualifiedName(key);
      if (fault !== undefined) faults.push(invalid(`${path}.${field}[${index}]`, key, fault));
    }
  }
  const { matchLabels = {}, matchExpressions = [] } = labelSelector ?? {};
  const selected = [...Object.keys(matchLabels), ...matchExpressions.map(({ key }) => key)];
  for (const [index, key] of matchLabelKeys.entries()) {
    const at = `${path}.matchLabelKeys[${index}]`;
    if (mismatchLabelKeys.includes(key)) faults.push(invalid(at, key, "exists in both matchLabelKeys and mismatchLabelKeys"));
    // The requirement that was merged is one.
    if (selected.filter((each) => each === key).length > 1)
      faults.push(invalid(at, key, "exists in both matchLabelKeys and labelSelector"));
  }
  return faults;
}

export function validateTopologySpread(constraints: readonly TopologySpreadConstraint[]): Fault[] {
  return constraints.flatMap((constraint, index) => {
    const path = `spec.topologySpreadConstraints[${index}]`;
    const faults: Fault[] = [];
    if ((constraint.maxSkew ?? 0) <= 0) faults.push(invalid(`${path}.maxSkew`, constraint.maxSkew ?? 0, "must be greater than zero"));
    if (!constraint.topologyKey) faults.push(required(`${path}.topologyKey`, "can not be empty"));
    if (constraint.minDomains !== undefined && constraint.minDomains <= 0)
      faults.push(invalid(`${path}.minDomains`, constraint.minDomains, "must be greater than zero"));
    if (constraint.minDomains !== undefined && constraint.whenUnsatisfiable === "ScheduleAnyway")
      faults.push(invalid(`${path}.minDomains`, constraint.minDomains, "can only be set with whenUnsatisfiable DoNotSchedule"));
    const { topologyKey, whenUnsatisfiable } = constraint;
    if (constraints.slice(0, index).some((other) => other.topologyKey === topologyKey && other.whenUnsatisfiable === whenUnsatisfiable))
      faults.push(duplicate(`${path}.{topologyKey, whenUnsatisfiable}`, `{${topologyKey}, ${whenUnsatisfiable}}`));
    faults.push(...validateSelector(constraint.labelSelector, `${path}.labelSelector`), ...validateLabelKeys(constraint, path));
    return faults;
  });
}

import { isIP } from "node:net";
import { initAnnotation, type Pod, type PodSpec, parseInitAnnotation, tuningFaults } from "@tessera/proto";
import { duplicate, type Fault, forbidden, invalid, notSupported, required } from "../../faults.ts";
import { checkDnsLabel, checkDnsSubdomain, checkQualifiedName } from "../../names.ts";
import { validateLabels } from "../../object-meta.ts";
import { validateContainers } from "./containers.ts";
import { validateHugePages, validateQuantities } from "./resources.ts";
import { validateAffinity, validateTolerations, validateTopologySpread } from "./scheduling.ts";
import { validatePodSecurity } from "./security.ts";
import { validateVolumes } from "./volumes.ts";

const maxSearchDomains = 32;
const maxSearchLength = 2048;
const maxNameservers = 3;
/** Of the kernel. */
const maxHostnameLength = 64;
const maxDeadlineSeconds = 2_147_483_647;

/** What no schema can say of a pod; names, types, required and enumerated fields were checked when it was decoded. */
export function validatePod(pod: Pod): Fault[] {
  const spec = pod.spec ?? {};
  const volumeNames = new Set((spec.volumes ?? []).map((volume) => volume.name ?? ""));
  return [
    ...validateVolumes(spec.volumes ?? [], "spec.volumes"),
    ...validateContainers(spec, volumeNames),
    ...validateTimes(spec),
    ...validateNaming(spec),
    ...validateHost(spec),
    ...validateDns(spec),
    ...validateLabels(spec.nodeSelector, "spec.nodeSelector"),
    ...validateTolerations(spec.tolerations ?? []),
    ...validateAffinity(spec.affinity),
    ...validateTopologySpread(spec.topologySpreadConstraints ?? []),
    ...validatePodSecurity(spec),
    ...validateInitAnnotation(pod),
    ...validateReferences(spec),
    ...validateQuantities(spec.overhead, "spec.overhead"),
    ...validateHugePages(spec),
    ...validateTuning(pod),
  ];
}

/** Annotations that limit containers in what no field does. */
function validateTuning({ metadata, spec }: Pod): Fault[] {
  const names = [...(spec?.initContainers ?? []), ...(spec?.containers ?? [])].map((container) => container.name ?? "");
  return tuningFaults(metadata?.annotations, names).map(({ annotation, value, message }) =>
    invalid(`metadata.annotations[${annotation}]`, value, message),
  );
}

function validateInitAnnotation({ metadata, spec = {} }: Pod): Fault[] {
  const value = metadata?.annotations?.[initAnnotation];
  const choice = parseInitAnnotation(value);
  if (choice === "all" || choice === "none") return [];
  const names = [...(spec.initContainers ?? []), ...(spec.containers ?? [])].map(({ name }) => name ?? "");
  const unknown = choice.filter((name) => !names.includes(name));
  if (unknown.length === 0) return [];
  const wanted = `must be "true", "false" or names of the pod's containers (${names.join(", ")}) with commas between them`;
  return [invalid(`metadata.annotations[${initAnnotation}]`, value, wanted)];
}

function validateTimes(spec: PodSpec): Fault[] {
  const faults: Fault[] = [];
  const { activeDeadlineSeconds: deadline, terminationGracePeriodSeconds: grace } = spec;
  if (deadline !== undefined && (deadline < 1 || deadline > maxDeadlineSeconds)) {
    faults.push(invalid("spec.activeDeadlineSeconds", deadline, `must be between 1 and ${maxDeadlineSeconds}, inclusive`));
  }
  if (grace !== undefined && grace < 0) {
    faults.push(invalid("spec.terminationGracePeriodSeconds", grace, "must be greater than or equal to 0"));
  }
  return faults;
}

function validateNaming(spec: PodSpec): Fault[] {
  const faults: Fault[] = [];
  const check = (field: "nodeName" | "serviceAccountName" | "hostname" | "subdomain" | "runtimeClassName" | "priorityClassName") => {
    const value = spec[field];
    const syntax = field === "hostname" || field === "subdomain" ? checkDnsLabel : checkDnsSubdomain;
    const fault = value === undefined || value === "" ? undefined : syntax(value);
    if (fault !== undefined) faults.push(invalid(`spec.${field}`, value, fault));
  };
  for (const field of ["nodeName", "serviceAccountName", "hostname", "subdomain", "runtimeClassName", "priorityClassName"] as const)
    check(field);
  faults.push(...validateHostnameOverride(spec));
  if (!spec.schedulerName && spec.schedulerName !== undefined) faults.push(required("spec.schedulerName"));
  if ((spec.schedulingGates ?? []).length > 0 && spec.nodeName) {
    faults.push(forbidden("spec.nodeName", "cannot be set until all schedulingGates have been cleared"));
  }
  return faults;
}

function validateHostnameOverride({ hostnameOverride: name, hostNetwork, setHostnameAsFQDN }: PodSpec): Fault[] {
  if (name === undefined) return [];
  const path = "spec.hostnameOverride";
  const syntax = checkDnsSubdomain(name);
  const faults = syntax === undefined ? [] : [invalid(path, name, syntax)];
  if (name.length > maxHostnameLength) faults.push(invalid(path, name, `must be no more than ${maxHostnameLength} characters`));
  if (hostNetwork) faults.push(forbidden(path, "a pod in the node's network has the node's hostname"));
  if (setHostnameAsFQDN) faults.push(forbidden(path, "cannot be set together with `setHostnameAsFQDN`"));
  return faults;
}

/** Sharing of the node's own namespaces. */
function validateHost(spec: PodSpec): Fault[] {
  const faults: Fault[] = [];
  if (spec.hostPID && spec.shareProcessNamespace) {
    faults.push(invalid("spec.shareProcessNamespace", true, "ShareProcessNamespace and HostPID cannot both be enabled"));
  }
  if (spec.hostUsers === false && (spec.hostNetwork || spec.hostPID || spec.hostIPC)) {
    const field = spec.hostNetwork ? "hostNetwork" : spec.hostPID ? "hostPID" : "hostIPC";
    faults.push(forbidden(`spec.${field}`, "when `hostUsers` is false, the pod may not share the node's namespaces"));
  }
  if ((spec.resourceClaims ?? []).length > 0) faults.push(forbidden("spec.resourceClaims", "dynamic resource allocation is not supported"));
  if (spec.os?.name === "windows") faults.push(notSupported("spec.os.name", "windows", ["linux"]));
  for (const [index, alias] of (spec.hostAliases ?? []).entries()) {
    const path = `spec.hostAliases[${index}]`;
    if (alias.ip && isIP(alias.ip) === 0) faults.push(invalid(`${path}.ip`, alias.ip, "must be a valid IP address"));
    for (const [at, name] of (alias.hostnames ?? []).entries()) {
      const fault = checkDnsSubdomain(name);
      if (fault !== undefined) faults.push(invalid(`${path}.hostnames[${at}]`, name, fault));
    }
  }
  return faults;
}

function validateDns(spec: PodSpec): Fault[] {
  const faults: Fault[] = [];
  const { nameservers = [], searches = [], options = [] } = spec.dnsConfig ?? {};
  const path = "spec.dnsConfig";
  if (spec.dnsPolicy === "None" && nameservers.length === 0) {
    faults.push(required(`${path}.nameservers`, `must provide at least one DNS nameserver when \`dnsPolicy\` is None`));
  }
  if (nameservers.length > maxNameservers) {
    faults.push(invalid(`${path}.nameservers`, nameservers, `must not have more than ${maxNameservers} nameservers`));
  }
  for (const [index, server] of nameservers.entries()) {
    if (isIP(server) === 0) faults.push(invalid(`${path}.nameservers[${index}]`, server, "must be a valid IP address"));
  }
  if (searches.length > maxSearchDomains) {
    faults.push(invalid(`${path}.searches`, searches, `must not have more than ${maxSearchDomains} search paths`));
  }
  if (searches.join(" ").length > maxSearchLength) {
    faults.push(
      invalid(`${path}.searches`, searches, `must not have more than ${maxSearchLength} characters (including spaces) in the search list`),
    );
  }
  for (const [index, search] of searches.entries()) {
    const fault = search === "." ? undefined : checkDnsSubdomain(search.replace(/\.$/, "").replaceAll("_", "x"));
    if (fault !== undefined) faults.push(invalid(`${path}.searches[${index}]`, search, fault));
  }
  for (const [index, option] of options.entries()) {
    if (!option.name) faults.push(required(`${path}.options[${index}].name`));
  }
  return faults;
}

function validateReferences(spec: PodSpec): Fault[] {
  const faults: Fault[] = [];
  for (const [index, gate] of (spec.readinessGates ?? []).entries()) {
    const fault = checkQualifiedName(gate.conditionType ?? "");
    if (fault !== undefined) faults.push(invalid(`spec.readinessGates[${index}].conditionType`, gate.conditionType, fault));
  }
  const gates = new Set<string>();
  for (const [index, { name = "" }] of (spec.schedulingGates ?? []).entries()) {
    const fault = checkQualifiedName(name);
    if (fault !== undefined) faults.push(invalid(`spec.schedulingGates[${index}].name`, name, fault));
    if (gates.has(name)) faults.push(duplicate(`spec.schedulingGates[${index}].name`, name));
    gates.add(name);
  }
  return faults;
}

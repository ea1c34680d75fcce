import type { Container, EnvVar, EnvVarSource, ObjectFieldSelector, ResourceFieldSelector } from "@tessera/proto";
import { type Fault, invalid, notSupported, required } from "../../faults.ts";
import { checkConfigKey, checkDnsSubdomain, checkEnvName, checkQualifiedName } from "../../names.ts";

const envFields = [
  "metadata.name",
  "metadata.namespace",
  "metadata.uid",
  "spec.nodeName",
  "spec.serviceAccountName",
  "status.hostIP",
  "status.hostIPs",
  "status.podIP",
  "status.podIPs",
];
const volumeFields = ["metadata.name", "metadata.namespace", "metadata.uid", "metadata.labels", "metadata.annotations"];
const resourceFields = [
  "limits.cpu",
  "limits.memory",
  "limits.ephemeral-storage",
  "requests.cpu",
  "requests.memory",
  "requests.ephemeral-storage",
];
const sources = ["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef"] as const;

/** The environment of a container. */
export function validateEnv(container: Container, path: string): Fault[] {
  return [
    ...(container.env ?? []).flatMap((variable, index) => validateVariable(variable, `${path}.env[${index}]`)),
    ...(container.envFrom ?? []).flatMap((from, index) => {
      const at = `${path}.envFrom[${index}]`;
      const faults: Fault[] = [];
      const prefixFault = from.prefix ? checkEnvName(from.prefix) : undefined;
      if (prefixFault !== undefined) faults.push(invalid(`${at}.prefix`, from.prefix, prefixFault));
      const count = [from.configMapRef, from.secretRef].filter((each) => each !== undefined).length;
      if (count !== 1)
        faults.push(
          invalid(
            at,
            "",
            count === 0 ? "must specify one of: `configMapRef` or `secretRef`" : "may not have more than one field specified at a time",
          ),
        );
      if (from.configMapRef !== undefined) faults.push(...validateName(from.configMapRef.name, `${at}.configMapRef.name`));
      if (from.secretRef !== undefined) faults.push(...validateName(from.secretRef.name, `${at}.secretRef.name`));
      return faults;
    }),
  ];
}

function validateVariable(variable: EnvVar, path: string): Fault[] {
  const faults: Fault[] = [];
  const nameFault = variable.name ? checkEnvName(variable.name) : undefined;
  if (!variable.name) faults.push(required(`${path}.name`));
  else if (nameFault !== undefined) faults.push(invalid(`${path}.name`, variable.name, nameFault));
  if (variable.valueFrom === undefined) return faults;
  if (variable.value) faults.push(invalid(`${path}.valueFrom`, "", "may not be specified when `value` is not empty"));
  return [...faults, ...validateSource(variable.valueFrom, `${path}.valueFrom`)];
}

function validateSource(source: EnvVarSource, path: string): Fault[] {
  const given = sources.filter((each) => source[each] !== undefined);
  if (given.length === 0) return [invalid(path, "", `must specify one of: ${sources.map((each) => `\`${each}\``).join(", ")}`)];
  if (given.length > 1) return [invalid(path, "", "may not have more than one field specified at a time")];
  const { fieldRef, resourceFieldRef, configMapKeyRef, secretKeyRef } = source;
  if (fieldRef !== undefined) return validateFieldRef(fieldRef, `${path}.fieldRef`, envFields);
  if (resourceFieldRef !== undefined) return validateResourceFieldRef(resourceFieldRef, `${path}.resourceFieldRef`);
  const kind = configMapKeyRef === undefined ? "secretKeyRef" : "configMapKeyRef";
  const reference = configMapKeyRef ?? secretKeyRef ?? {};
  return [...validateName(reference.name, `${path}.${kind}.name`), ...validateKey(reference.key, `${path}.${kind}.key`)];
}

/** A field of the pod itself, for an environment variable or (with `forVolume`) a file. */
export function validateVolumeFieldRef(reference: ObjectFieldSelector, path: string): Fault[] {
  return validateFieldRef(reference, path, volumeFields);
}

function validateFieldRef(reference: ObjectFieldSelector, path: string, supported: readonly string[]): Fault[] {
  const { fieldPath: field = "", apiVersion = "v1" } = reference;
  if (apiVersion !== "v1") return [notSupported(`${path}.apiVersion`, apiVersion, ["v1"])];
  if (field === "") return [required(`${path}.fieldPath`)];
  const subscript = /^metadata\.(labels|annotations)\['(.*)'\]$/.exec(field);
  if (subscript !== null) {
    const key = subscript[2] ?? "";
    const fault = checkQualifiedName(subscript[1] === "annotations" ? key.toLowerCase() : key);
    return fault === undefined ? [] : [invalid(`${path}.fieldPath`, key, fault)];
  }
  return supported.includes(field) ? [] : [notSupported(`${path}.fieldPath`, field, supported)];
}

export function validateResourceFieldRef(reference: ResourceFieldSelector, path: string, needsContainer = false): Fault[] {
  const resource = reference.resource ?? "";
  if (needsContainer && !reference.containerName) return [required(`${path}.containerName`)];
  if (resource === "") return [required(`${path}.resource`)];
  const isHugePage = /^(limits|requests)\.hugepages-/.test(resource);
  return resourceFields.includes(resource) || isHugePage ? [] : [notSupported(`${path}.resource`, resource, resourceFields)];
}

function validateName(name: string | undefined, path: string): Fault[] {
  if (!name) return [required(path)];
  const fault = checkDnsSubdomain(name);
  return fault === undefined ? [] : [invalid(path, name, fault)];
}

function validateKey(key: string | undefined, path: string): Fault[] {
  if (!key) return [required(path)];
  const fault = checkConfigKey(key);
  return fault === undefined ? [] : [invalid(path, key, fault)];
}

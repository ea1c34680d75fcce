import { type Container, type EnvFromSource, type EnvVarSource, type Pod, TesseraError } from "@tessera/proto";
import type { ObjectKey, ReferencedObjects } from "../objects/referenced-objects.ts";
import { expand } from "./expansion.ts";
import { fieldValue, namedContainer, type PodFacts, resourceValue } from "./fields.ts";

export interface EnvInputs {
  readonly pod: Pod;
  readonly container: Container;
  readonly facts: PodFacts;
  readonly objects: Pick<ReferencedObjects, "get">;
}

export interface ContainerEnv {
  readonly values: ReadonlyMap<string, string>;
  /** Keys of envFrom sources that cannot be the name of a variable, each with its source. */
  readonly skipped: readonly string[];
}

/**
 * The variables that the pod gives a container, without the image's own. Throws TesseraError "NotFound" when something that is not
 * optional is missing; the message names it.
 */
export function containerEnv(inputs: EnvInputs): ContainerEnv {
  const values = new Map<string, string>();
  const skipped: string[] = [];
  for (const source of inputs.container.envFrom ?? []) addSource(source, inputs, values, skipped);
  for (const variable of inputs.container.env ?? []) {
    const name = variable.name ?? "";
    const value =
      variable.valueFrom === undefined
        ? expand(variable.value ?? "", (other) => values.get(other))
        : sourcedValue(variable.valueFrom, inputs);
    if (value !== undefined) values.set(name, value);
  }
  return { values, skipped };
}

function addSource(source: EnvFromSource, inputs: EnvInputs, values: Map<string, string>, skipped: string[]): void {
  const reference = source.configMapRef ?? source.secretRef;
  if (reference === undefined) return;
  const kind = source.configMapRef !== undefined ? "ConfigMap" : "Secret";
  const data = objectData(inputs, kind, reference.name ?? "", reference.optional ?? false);
  for (const [key, value] of data ?? []) {
    const name = `${source.prefix ?? ""}${key}`;
    if (isVariableName(name)) values.set(name, value);
    else skipped.push(`${kind} "${reference.name ?? ""}" key "${key}"`);
  }
}

/** Undefined: an optional source that is not there, so the variable is not set either. */
function sourcedValue(source: EnvVarSource, inputs: EnvInputs): string | undefined {
  const { pod, container, facts } = inputs;
  if (source.fieldRef !== undefined) return fieldValue(pod, facts, source.fieldRef);
  if (source.resourceFieldRef !== undefined) {
    const { containerName } = source.resourceFieldRef;
    return resourceValue(containerName ? namedContainer(pod, containerName) : container, facts, source.resourceFieldRef);
  }
  const reference = source.configMapKeyRef ?? source.secretKeyRef;
  if (reference === undefined) throw new TesseraError("Invalid", "env: this kind of valueFrom is not supported yet");
  const kind = source.configMapKeyRef !== undefined ? "ConfigMap" : "Secret";
  const optional = reference.optional ?? false;
  const key = reference.key ?? "";
  const value = objectData(inputs, kind, reference.name ?? "", optional)?.get(key);
  if (value === undefined && !optional) {
    const namespace = pod.metadata?.namespace ?? "";
    throw new TesseraError("NotFound", `couldn't find key ${key} in ${kind} ${namespace}/${reference.name ?? ""}`);
  }
  return value;
}

function objectData(inputs: EnvInputs, kind: "ConfigMap" | "Secret", name: string, optional: boolean): Map<string, string> | undefined {
  const namespace = inputs.pod.metadata?.namespace ?? "";
  if (kind === "ConfigMap") {
    const found = inputs.objects.get("ConfigMap", namespace, name);
    if (found.is === "present") return new Map(Object.entries(found.object.data ?? {}));
    return absent(found.is, `configmap "${name}" not found`, optional);
  }
  const found = inputs.objects.get("Secret", namespace, name);
  if (found.is === "present") {
    return new Map(Object.entries(found.object.data ?? {}).map(([key, value]) => [key, Buffer.from(value, "base64").toString()]));
  }
  return absent(found.is, `secret "${name}" not found`, optional);
}

function absent(is: "unknown" | "absent", message: string, optional: boolean): undefined {
  if (is === "unknown") throw new TesseraError("ServiceUnavailable", `${message} yet: the control plane has not sent it`);
  if (!optional) throw new TesseraError("NotFound", message);
  return undefined;
}

/** What the kernel and Kubernetes allow: printable ASCII without "=". */
function isVariableName(name: string): boolean {
  return /^[\x20-\x3c\x3e-\x7e]+$/.test(name);
}

/** The objects that a pod's containers need for their variables. */
export function envReferences(pod: Pod): ObjectKey[] {
  const namespace = pod.metadata?.namespace ?? "";
  const keys: ObjectKey[] = [];
  const add = (kind: "ConfigMap" | "Secret", name: string | undefined) => {
    if (name) keys.push({ kind, namespace, name });
  };
  const { initContainers = [], containers = [], ephemeralContainers = [] } = pod.spec ?? {};
  for (const container of [...initContainers, ...containers, ...ephemeralContainers]) {
    for (const source of container.envFrom ?? []) {
      add("ConfigMap", source.configMapRef?.name);
      add("Secret", source.secretRef?.name);
    }
    for (const { valueFrom } of container.env ?? []) {
      add("ConfigMap", valueFrom?.configMapKeyRef?.name);
      add("Secret", valueFrom?.secretKeyRef?.name);
    }
  }
  return keys;
}

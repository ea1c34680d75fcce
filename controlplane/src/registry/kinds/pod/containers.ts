import { isIP } from "node:net";
import type { Container, ContainerPort, PodSpec } from "@tessera/proto";
import { duplicate, type Fault, forbidden, invalid, notSupported, required } from "../../faults.ts";
import { checkDnsLabel, checkPortName } from "../../names.ts";
import { validateEnv } from "./env.ts";
import { checkRelativePath } from "./paths.ts";
import { isPort, maxPort } from "./ports.ts";
import { validateContainerProbes, validateLifecycle } from "./probes.ts";
import { validateResources } from "./resources.ts";
import { validateContainerSecurity } from "./security.ts";

/** All containers of a pod; names and host ports must be unique over all of them. */
export function validateContainers(spec: PodSpec, volumeNames: ReadonlySet<string>): Fault[] {
  const faults: Fault[] = [];
  if ((spec.containers ?? []).length === 0) faults.push(required("spec.containers"));
  const names = new Set<string>();
  const all = (["initContainers", "containers"] as const).flatMap((field) =>
    (spec[field] ?? []).map((container, index) => ({ container, path: `spec.${field}[${index}]`, isInit: field === "initContainers" })),
  );
  for (const { container, path, isInit } of all) {
    const name = container.name ?? "";
    if (names.has(name)) faults.push(duplicate(`${path}.name`, name));
    names.add(name);
    faults.push(...validateContainer(container, path, volumeNames), ...validateLifeOf(container, path, { isInit, os: spec.os?.name }));
  }
  return [...faults, ...validateHostPorts(spec, all)];
}

export function validateContainer(container: Container, path: string, volumeNames: ReadonlySet<string>): Fault[] {
  const faults: Fault[] = [];
  const nameFault = container.name ? checkDnsLabel(container.name) : undefined;
  if (!container.name) faults.push(required(`${path}.name`));
  else if (nameFault !== undefined) faults.push(invalid(`${path}.name`, container.name, nameFault));
  const image = container.image ?? "";
  if (image === "") faults.push(required(`${path}.image`));
  else if (image !== image.trim()) faults.push(invalid(`${path}.image`, image, "must not have leading or trailing whitespace"));
  if (container.terminationMessagePath !== undefined && !container.terminationMessagePath.startsWith("/")) {
    faults.push(invalid(`${path}.terminationMessagePath`, container.terminationMessagePath, "must be an absolute path"));
  }
  if ((container.volumeDevices ?? []).length > 0) {
    faults.push(forbidden(`${path}.volumeDevices`, "block devices are not supported"));
  }
  if ((container.restartPolicyRules ?? []).length > 0) {
    faults.push(forbidden(`${path}.restartPolicyRules`, "rules for single exit codes are not supported yet"));
  }
  return [
    ...faults,
    ...validatePorts(container.ports ?? [], `${path}.ports`),
    ...validateEnv(container, path),
    ...validateMounts(container, volumeNames, `${path}.volumeMounts`),
    ...validateResources(container.resources, `${path}.resources`),
    ...validateContainerSecurity(container.securityContext, `${path}.securityContext`),
  ];
}

/** What may differ between init containers, sidecars and the rest: how they start, are watched and end. */
function validateLifeOf(container: Container, path: string, { isInit, os }: { isInit: boolean; os: string | undefined }): Fault[] {
  const isSidecar = isInit && container.restartPolicy === "Always";
  const faults: Fault[] = [];
  if (container.restartPolicy !== undefined && !isSidecar) {
    if (isInit) faults.push(notSupported(`${path}.restartPolicy`, container.restartPolicy, ["Always"]));
    else faults.push(forbidden(`${path}.restartPolicy`, "may not be set for non-init containers"));
  }
  if (!isInit || isSidecar) return [...faults, ...validateContainerProbes(container, path), ...validateLifecycle(container, path, os)];
  for (const field of ["livenessProbe", "readinessProbe", "startupProbe", "lifecycle"] as const) {
    if (container[field] !== undefined)
      faults.push(forbidden(`${path}.${field}`, "may not be set for init containers without restartPolicy=Always"));
  }
  return faults;
}

function validatePorts(ports: readonly ContainerPort[], path: string): Fault[] {
  const faults: Fault[] = [];
  const names = new Set<string>();
  for (const [index, port] of ports.entries()) {
    const at = `${path}[${index}]`;
    if (port.name) {
      const fault = checkPortName(port.name);
      if (fault !== undefined) faults.push(invalid(`${at}.name`, port.name, fault));
      else if (names.has(port.name)) faults.push(duplicate(`${at}.name`, port.name));
      names.add(port.name);
    }
    if (!port.containerPort) faults.push(required(`${at}.containerPort`));
    else if (!isPort(port.containerPort))
      faults.push(invalid(`${at}.containerPort`, port.containerPort, `must be between 1 and ${maxPort}, inclusive`));
    if (port.hostPort && !isPort(port.hostPort))
      faults.push(invalid(`${at}.hostPort`, port.hostPort, `must be between 1 and ${maxPort}, inclusive`));
    if (port.hostIP && isIP(port.hostIP) === 0) faults.push(invalid(`${at}.hostIP`, port.hostIP, "must be a valid IP address"));
  }
  return faults;
}

function validateHostPorts(spec: PodSpec, containers: readonly { container: Container; path: string }[]): Fault[] {
  const faults: Fault[] = [];
  const taken = new Set<string>();
  for (const { container, path } of containers) {
    for (const [index, port] of (container.ports ?? []).entries()) {
      if (!port.hostPort) continue;
      const at = `${path}.ports[${index}].hostPort`;
      if (spec.hostNetwork && port.hostPort !== port.containerPort)
        faults.push(invalid(at, port.hostPort, "must match `containerPort` when `hostNetwork` is true"));
      const key = `${port.protocol ?? "TCP"}/${port.hostIP ?? ""}/${port.hostPort}`;
      if (taken.has(key)) faults.push(duplicate(at, port.hostPort));
      taken.add(key);
    }
  }
  return faults;
}

function validateMounts(
  { volumeMounts: mounts = [], securityContext }: Container,
  volumeNames: ReadonlySet<string>,
  path: string,
): Fault[] {
  const faults: Fault[] = [];
  const paths = new Set<string>();
  for (const [index, mount] of mounts.entries()) {
    const at = `${path}[${index}]`;
    if (!mount.name) faults.push(required(`${at}.name`));
    else if (!volumeNames.has(mount.name))
      faults.push({ type: "Invalid", path: `${at}.name`, message: `Not found: ${JSON.stringify(mount.name)}` });
    if (!mount.mountPath) faults.push(required(`${at}.mountPath`));
    else if (paths.has(mount.mountPath)) faults.push(invalid(`${at}.mountPath`, mount.mountPath, "must be unique"));
    paths.add(mount.mountPath ?? "");
    if (mount.subPath && mount.subPathExpr)
      faults.push(invalid(`${at}.subPathExpr`, mount.subPathExpr, "subPathExpr and subPath are mutually exclusive"));
    for (const field of ["subPath", "subPathExpr"] as const) {
      const fault = mount[field] ? checkRelativePath(mount[field]) : undefined;
      if (fault !== undefined) faults.push(invalid(`${at}.${field}`, mount[field], fault));
    }
    if (mount.mountPropagation === "Bidirectional" && !securityContext?.privileged)
      faults.push(forbidden(`${at}.mountPropagation`, "Bidirectional mount propagation is available only to privileged containers"));
    if (mount.recursiveReadOnly !== undefined && mount.recursiveReadOnly !== "Disabled" && !mount.readOnly) {
      faults.push(forbidden(`${at}.recursiveReadOnly`, "may only be specified when readOnly is true"));
    }
  }
  return faults;
}

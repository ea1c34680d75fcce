import type { PodSpec, SeccompProfile, SecurityContext } from "@tessera/proto";
import { duplicate, type Fault, forbidden, invalid, required } from "../../faults.ts";
import { checkRelativePath } from "./paths.ts";

const maxId = 2_147_483_647;
const sysctlName = /^[a-z0-9]([-_a-z0-9]*[a-z0-9])?([./][a-z0-9]([-_a-z0-9]*[a-z0-9])?)*$/;

export function validatePodSecurity(spec: PodSpec): Fault[] {
  const context = spec.securityContext ?? {};
  const path = "spec.securityContext";
  const faults = [
    ...validateIds(context, ["runAsUser", "runAsGroup", "fsGroup"], path),
    ...(context.supplementalGroups ?? []).flatMap((id, index) => validateId(id, `${path}.supplementalGroups[${index}]`)),
    ...validateSeccomp(context.seccompProfile, `${path}.seccompProfile`),
  ];
  const names = new Set<string>();
  for (const [index, { name = "" }] of (context.sysctls ?? []).entries()) {
    const at = `${path}.sysctls[${index}].name`;
    if (name === "") faults.push(required(at));
    else if (!sysctlName.test(name)) faults.push(invalid(at, name, "must be the name of a kernel parameter such as net.core.somaxconn"));
    else if (names.has(name)) faults.push(duplicate(at, name));
    else if (spec.hostNetwork && name.startsWith("net.")) faults.push(invalid(at, name, "may not be specified when 'hostNetwork' is true"));
    names.add(name);
  }
  return faults;
}

export function validateContainerSecurity(context: SecurityContext | undefined, path: string): Fault[] {
  if (context === undefined) return [];
  const faults = [
    ...validateIds(context, ["runAsUser", "runAsGroup"], path),
    ...validateSeccomp(context.seccompProfile, `${path}.seccompProfile`),
  ];
  if (context.procMount === "Unmasked") {
    faults.push(invalid(`${path}.procMount`, context.procMount, "needs user namespaces (`hostUsers: false`), which are not supported yet"));
  }
  if (context.allowPrivilegeEscalation === false) {
    if (context.privileged) faults.push(invalid(path, context, "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"));
    if (context.capabilities?.add?.some((name) => name.replace(/^CAP_/, "") === "SYS_ADMIN")) {
      faults.push(invalid(path, context, "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"));
    }
  }
  return faults;
}

function validateIds<F extends string>(context: { readonly [field in F]?: number }, fields: readonly F[], path: string): Fault[] {
  return fields.flatMap((field) => {
    const id = context[field];
    return id === undefined ? [] : validateId(id, `${path}.${field}`);
  });
}

function validateId(id: number, path: string): Fault[] {
  return id >= 0 && id <= maxId ? [] : [invalid(path, id, `must be between 0 and ${maxId}, inclusive`)];
}

function validateSeccomp(profile: SeccompProfile | undefined, path: string): Fault[] {
  if (profile === undefined) return [];
  const isLocal = profile.type === "Localhost";
  if (isLocal && !profile.localhostProfile) return [required(`${path}.localhostProfile`, "must be set when seccomp type is Localhost")];
  if (!isLocal && profile.localhostProfile !== undefined)
    return [forbidden(`${path}.localhostProfile`, "must not be set unless seccomp type is Localhost")];
  const fault = isLocal ? checkRelativePath(profile.localhostProfile ?? "") : undefined;
  return fault === undefined ? [] : [invalid(`${path}.localhostProfile`, profile.localhostProfile, fault)];
}

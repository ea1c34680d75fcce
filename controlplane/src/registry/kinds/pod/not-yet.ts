import { isIPv6 } from "node:net";
import type { Container, ContainerPort, Pod, PodSecurityContext, PodSpec, SecurityContext } from "@tessera/proto";
import { knownPriorities } from "./defaults.ts";

/**
 * What a pod wishes that nothing acts on, yet or at all. Such a pod is not refused, since it runs all the same; but whoever made it is told, as a wish
 * that is silently not granted is found out late.
 */
export function unheededWishes({ spec = {} }: Pod): string[] {
  const { hostNetwork, containers = [], initContainers = [] } = spec;
  const wishes: string[] = [];
  wishes.push(...unheededOfPod(spec), ...unheededOfContainers({ containers, initContainers }));
  if (hostNetwork) return wishes;
  for (const [list, members] of Object.entries({ containers, initContainers })) {
    for (const [at, { ports = [], restartPolicy }] of members.entries()) {
      const endsByItself = list === "initContainers" && restartPolicy !== "Always";
      wishes.push(...ports.flatMap((port, index) => unheededPort(port, `spec.${list}[${at}].ports[${index}]`, endsByItself)));
    }
  }
  return wishes;
}

/** Neither will ever lead to the pod. */
function unheededPort({ hostPort, hostIP = "" }: ContainerPort, path: string, endsByItself: boolean): string[] {
  if (!hostPort) return [];
  if (endsByItself) return [`${path}.hostPort: ports of init containers that run to their end are not reached through the node`];
  return isIPv6(hostIP) ? [`${path}.hostIP: pods have addresses of IPv4 only, so nothing leads from ${hostIP} to this one`] : [];
}

function unheededOfPod({ schedulingGroup, resources, priorityClassName, securityContext }: PodSpec): string[] {
  const wishes = unheededSecurity(securityContext, "spec.securityContext");
  if (schedulingGroup !== undefined) wishes.push("spec.schedulingGroup: pods are scheduled one by one yet");
  if (resources !== undefined) wishes.push("spec.resources: only containers have requests and limits yet, not the pod as a whole");
  if (priorityClassName && knownPriorities[priorityClassName] === undefined)
    wishes.push(`spec.priorityClassName: there are no PriorityClasses yet, so "${priorityClassName}" says nothing; spec.priority does`);
  return wishes;
}

function unheededOfContainers(lists: { readonly [list: string]: readonly Container[] }): string[] {
  return Object.entries(lists).flatMap(([list, containers]) =>
    containers.flatMap(({ securityContext }, at) => unheededSecurity(securityContext, `spec.${list}[${at}].securityContext`)),
  );
}

/** Confinement that a node without AppArmor or SELinux cannot give. */
function unheededSecurity(context: PodSecurityContext | SecurityContext | undefined, path: string): string[] {
  const { appArmorProfile, seLinuxOptions, windowsOptions } = context ?? {};
  const wishes: string[] = [];
  if (appArmorProfile !== undefined && appArmorProfile.type !== "Unconfined")
    wishes.push(`${path}.appArmorProfile: no AppArmor profile is applied yet; seccomp and capabilities confine the container`);
  if (seLinuxOptions !== undefined) wishes.push(`${path}.seLinuxOptions: SELinux labels are not applied`);
  if (windowsOptions !== undefined) wishes.push(`${path}.windowsOptions: there are no nodes with Windows`);
  return wishes;
}

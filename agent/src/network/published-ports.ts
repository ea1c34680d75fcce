import { isIPv4 } from "node:net";
import type { ContainerPort, PodSpec } from "@tessera/proto";
import { ANY_ADDRESS, formatHostPort, type HostPortProtocol, type PodHostPort } from "@tessera/runtime-native";

/**
 * The ports of the node that are to lead to a pod: those of its containers and sidecars. As in Kubernetes those of init containers that run to
 * their end count for nothing, and neither do addresses of a family that pods have not.
 */
export function publishedPorts({ hostNetwork, containers = [], initContainers = [] }: PodSpec): PodHostPort[] {
  if (hostNetwork) return [];
  const sidecars = initContainers.filter(({ restartPolicy }) => restartPolicy === "Always");
  const ports = [...containers, ...sidecars].flatMap((container) => (container.ports ?? []).flatMap(toHostPort));
  // Of two that are the same but for their address's spelling, the first counts.
  return [...new Map(ports.toReversed().map((port) => [formatHostPort(port), port])).values()].toReversed();
}

function toHostPort({ hostPort, hostIP, protocol, containerPort }: ContainerPort): PodHostPort[] {
  const address = hostIP || ANY_ADDRESS;
  if (!hostPort || !containerPort || !isIPv4(address)) return [];
  return [{ protocol: (protocol || "TCP") as HostPortProtocol, address, port: hostPort, podPort: containerPort }];
}

import type { PodSpec } from "../../gen/api.ts";

/** A port of the node itself that a container wants for its own: "TCP/0.0.0.0/80". The address 0.0.0.0 stands for all of the node's. */
export type HostPort = string;

/** The ports that the pod keeps to the end, sorted: those of its containers and sidecars. */
export function podHostPorts(spec: PodSpec): HostPort[] {
  const ports: HostPort[] = [];
  for (const container of [...(spec.containers ?? []), ...(spec.initContainers ?? []).filter((c) => c.restartPolicy === "Always")]) {
    for (const port of container.ports ?? []) {
      if (port.hostPort) ports.push(`${port.protocol || "TCP"}/${port.hostIP || "0.0.0.0"}/${port.hostPort}`);
    }
  }
  return ports.sort();
}

/** Whether one of the wanted ports is taken. */
export function hostPortsCollide(wanted: readonly HostPort[], held: { has(port: HostPort): boolean; keys(): Iterable<HostPort> }): boolean {
  for (const port of wanted) {
    if (held.has(port)) return true;
    const [protocol, address, number] = port.split("/");
    if (address !== "0.0.0.0" && held.has(`${protocol}/0.0.0.0/${number}`)) return true;
    if (address !== "0.0.0.0") continue;
    for (const other of held.keys()) {
      const [otherProtocol, , otherNumber] = other.split("/");
      if (otherProtocol === protocol && otherNumber === number) return true;
    }
  }
  return false;
}

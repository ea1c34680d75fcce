import { hostPortsCollide } from "@tessera/proto";
import type { CapacityFilter } from "../plugin.ts";

/** A host port can be held by one pod of a node. 0.0.0.0 collides with every address. */
export const nodePorts: CapacityFilter = {
  name: "NodePorts",
  narrow(pod, nodes, candidates, count) {
    if (pod.hostPorts.length === 0) return count;
    let kept = 0;
    for (let i = 0; i < count; i++) {
      const index = candidates[i] ?? 0;
      const row = nodes.rows[index];
      if (row && !hostPortsCollide(pod.hostPorts, row.hostPorts)) candidates[kept++] = index;
    }
    return kept;
  },
  refusals(pod, _nodes, row) {
    return hostPortsCollide(pod.hostPorts, row.hostPorts) ? ["node(s) didn't have free ports for the requested pod ports"] : [];
  },
};

import type { NodeRow } from "../node-table.ts";
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
      if (row && !collides(pod.hostPorts, row)) candidates[kept++] = index;
    }
    return kept;
  },
  refusals(pod, _nodes, row) {
    return collides(pod.hostPorts, row) ? ["node(s) didn't have free ports for the requested pod ports"] : [];
  },
};

function collides(wanted: readonly string[], row: NodeRow): boolean {
  if (row.hostPorts.size === 0) return false;
  for (const port of wanted) {
    if (row.hostPorts.has(port)) return true;
    const [protocol, address, number] = port.split("/");
    if (address !== "0.0.0.0" && row.hostPorts.has(`${protocol}/0.0.0.0/${number}`)) return true;
    if (address !== "0.0.0.0") continue;
    for (const held of row.hostPorts.keys()) {
      const [heldProtocol, , heldNumber] = held.split("/");
      if (heldProtocol === protocol && heldNumber === number) return true;
    }
  }
  return false;
}

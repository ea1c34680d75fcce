import { CPU, MEMORY } from "../node-table.ts";
import type { CapacityScore } from "../plugin.ts";

/** Prefers the node whose cpu and memory would be used to the same degree, so that neither is stranded. */
export const balancedAllocation: CapacityScore = {
  name: "BalancedAllocation",
  weight: 1,
  add(pod, nodes, candidates, count, totals) {
    const cpuColumn = nodes.resources[CPU];
    const memoryColumn = nodes.resources[MEMORY];
    if (!cpuColumn || !memoryColumn) return;
    let cpu = 0;
    let memory = 0;
    for (const request of pod.requests) {
      if (request.resource === CPU) cpu = request.amount;
      if (request.resource === MEMORY) memory = request.amount;
    }
    // A pod that requests neither tips no balance.
    if (cpu === 0 && memory === 0) return;
    const { free: cpuFree, allocatable: cpuTotal } = cpuColumn;
    const { free: memoryFree, allocatable: memoryTotal } = memoryColumn;
    const scale = this.weight * 100;
    for (let i = 0; i < count; i++) {
      const index = candidates[i] ?? 0;
      const cpuUsed = shareUsed((cpuFree[index] ?? 0) - cpu, cpuTotal[index] ?? 0);
      const memoryUsed = shareUsed((memoryFree[index] ?? 0) - memory, memoryTotal[index] ?? 0);
      // The standard deviation of two values is half their distance.
      totals[i] = (totals[i] ?? 0) + scale * (1 - Math.abs(cpuUsed - memoryUsed) / 2);
    }
  },
};

function shareUsed(left: number, total: number): number {
  return total > 0 ? Math.min(1, 1 - left / total) : 1;
}

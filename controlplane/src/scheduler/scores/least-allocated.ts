import { CPU, MEMORY } from "../node-table.ts";
import type { CapacityScore } from "../plugin.ts";

/** Prefers the node that would have the largest share of cpu and memory left. */
export const leastAllocated: CapacityScore = {
  name: "LeastAllocated",
  weight: 1,
  add(pod, nodes, candidates, count, totals) {
    const cpuTotal = nodes.resources[CPU]?.allocatable ?? totals;
    const memoryTotal = nodes.resources[MEMORY]?.allocatable ?? totals;
    const cpuFree = nodes.scoredFreeCpu;
    const memoryFree = nodes.scoredFreeMemory;
    const cpu = pod.scoredCpuMilli;
    const memory = pod.scoredMemoryBytes;
    const scale = this.weight * 50;
    for (let i = 0; i < count; i++) {
      const index = candidates[i] ?? 0;
      const cpuShare = shareLeft((cpuFree[index] ?? 0) - cpu, cpuTotal[index] ?? 0);
      const memoryShare = shareLeft((memoryFree[index] ?? 0) - memory, memoryTotal[index] ?? 0);
      totals[i] = (totals[i] ?? 0) + scale * (cpuShare + memoryShare);
    }
  },
};

/** The pods that request nothing are counted for a little, so less than nothing may be left. */
function shareLeft(left: number, total: number): number {
  return left > 0 && total > 0 ? left / total : 0;
}

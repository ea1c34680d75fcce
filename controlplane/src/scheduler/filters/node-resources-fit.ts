import { PODS } from "../node-table.ts";
import type { CapacityFilter } from "../plugin.ts";

/** All that the pod requests must be free: cpu, memory, a place among the node's pods, ephemeral storage and extended resources alike. */
export const nodeResourcesFit: CapacityFilter = {
  name: "NodeResourcesFit",
  narrow(pod, nodes, candidates, count) {
    let left = count;
    for (const request of pod.requests) {
      const free = nodes.resources[request.resource]?.free;
      if (!free) return 0;
      const amount = request.amount;
      let kept = 0;
      for (let i = 0; i < left; i++) {
        const index = candidates[i] ?? 0;
        if ((free[index] ?? 0) >= amount) candidates[kept++] = index;
      }
      left = kept;
    }
    return left;
  },
  refusals(pod, nodes, row) {
    const reasons: string[] = [];
    for (const request of pod.requests) {
      const column = nodes.resources[request.resource];
      if ((column?.free[row.index] ?? 0) >= request.amount) continue;
      reasons.push(request.resource === PODS ? "Too many pods" : `Insufficient ${column?.name}`);
    }
    return reasons;
  },
};

import { toleratesAny } from "@tessera/proto";
import type { StaticFilter } from "../plugin.ts";

/** Every taint of effect NoSchedule or NoExecute must be tolerated. */
export const taintToleration: StaticFilter = {
  name: "TaintToleration",
  refuses(pod, node) {
    for (const taint of node.taints) {
      if (taint.effect !== "NoSchedule" && taint.effect !== "NoExecute") continue;
      if (!toleratesAny(pod.tolerations, taint)) return `node(s) had untolerated taint {${taint.key}: ${taint.value ?? ""}}`;
    }
    return undefined;
  },
};

import { toleratesAny } from "@tessera/proto";
import type { StaticScore } from "../plugin.ts";

/** Avoids nodes with taints of effect PreferNoSchedule that the pod does not tolerate. */
export const preferredTaintToleration: StaticScore = {
  name: "TaintToleration",
  weight: 3,
  best: "low",
  rate(pod, node) {
    return node.taints.filter((taint) => taint.effect === "PreferNoSchedule" && !toleratesAny(pod.tolerations, taint)).length;
  },
};

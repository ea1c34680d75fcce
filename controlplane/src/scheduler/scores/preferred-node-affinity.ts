import { matchesTerm } from "@tessera/proto";
import type { StaticScore } from "../plugin.ts";

/** preferredDuringSchedulingIgnoredDuringExecution: the sum of the weights of the terms that match. */
export const preferredNodeAffinity: StaticScore = {
  name: "NodeAffinity",
  weight: 2,
  best: "high",
  rate(pod, node) {
    let sum = 0;
    for (const { weight, preference } of pod.preferredTerms) if (preference && matchesTerm(preference, node)) sum += weight ?? 0;
    return sum;
  },
};

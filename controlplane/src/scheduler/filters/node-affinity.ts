import { matchesTerm } from "@tessera/proto";
import type { StaticFilter } from "../plugin.ts";

/** requiredDuringSchedulingIgnoredDuringExecution: one of the terms must match. */
export const nodeAffinity: StaticFilter = {
  name: "NodeAffinity",
  refuses(pod, node) {
    if (!pod.requiredTerms || pod.requiredTerms.some((term) => matchesTerm(term, node))) return undefined;
    return "node(s) didn't match Pod's node affinity/selector";
  },
};

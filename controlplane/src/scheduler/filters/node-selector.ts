import type { StaticFilter } from "../plugin.ts";

/** spec.nodeSelector: each label must be there with this value. */
export const nodeSelector: StaticFilter = {
  name: "NodeSelector",
  refuses(pod, node) {
    for (const key in pod.nodeSelector) {
      if (node.labels[key] !== pod.nodeSelector[key]) return "node(s) didn't match Pod's node affinity/selector";
    }
    return undefined;
  },
};

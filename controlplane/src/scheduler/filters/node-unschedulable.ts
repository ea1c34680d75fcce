import { toleratesAny } from "@tessera/proto";
import type { StaticFilter } from "../plugin.ts";

const UNSCHEDULABLE_TAINT = { key: "node.kubernetes.io/unschedulable", effect: "NoSchedule" };

/** Cordoned nodes take no new pods but those that tolerate it. */
export const nodeUnschedulable: StaticFilter = {
  name: "NodeUnschedulable",
  refuses(pod, node) {
    if (!node.unschedulable || toleratesAny(pod.tolerations, UNSCHEDULABLE_TAINT)) return undefined;
    return "node(s) were unschedulable";
  },
};

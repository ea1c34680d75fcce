import { interPodAffinity } from "./filters/inter-pod-affinity.ts";
import { nodeAffinity } from "./filters/node-affinity.ts";
import { nodePorts } from "./filters/node-ports.ts";
import { nodeResourcesFit } from "./filters/node-resources-fit.ts";
import { nodeSelector } from "./filters/node-selector.ts";
import { nodeUnschedulable } from "./filters/node-unschedulable.ts";
import { podTopologySpread } from "./filters/pod-topology-spread.ts";
import { taintToleration } from "./filters/taint-toleration.ts";
import type { Policy } from "./plugin.ts";
import { balancedAllocation } from "./scores/balanced-allocation.ts";
import { imageLocality } from "./scores/image-locality.ts";
import { interPodAffinityScore } from "./scores/inter-pod-affinity.ts";
import { leastAllocated } from "./scores/least-allocated.ts";
import { podTopologySpreadScore } from "./scores/pod-topology-spread.ts";
import { preferredNodeAffinity } from "./scores/preferred-node-affinity.ts";
import { preferredTaintToleration } from "./scores/preferred-taint-toleration.ts";

/**
 * The whole policy. A node is out at the first filter that refuses it, in this order: that is the reason which people read. Of the others the
 * one with the highest sum of weighted scores is chosen; among equals they take turns.
 *
 * Kubernetes' NodeName is not here: a pod that names its node is bound already and never gets to the scheduler. Nor are its default constraints of
 * spreading, which are for pods of Services and workloads: there are none yet.
 */
export const defaultPolicy: Policy = {
  staticFilters: [nodeUnschedulable, taintToleration, nodeSelector, nodeAffinity],
  capacityFilters: [nodePorts, nodeResourcesFit],
  staticScores: [preferredTaintToleration, preferredNodeAffinity],
  capacityScores: [leastAllocated, balancedAllocation, imageLocality],
  peerFilters: [podTopologySpread, interPodAffinity],
  peerScores: [podTopologySpreadScore, interPodAffinityScore],
};

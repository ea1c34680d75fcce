import type { Pod } from "@tessera/proto";
import type { Refusal } from "../scheduler/refusal.ts";
import type { Call } from "./call.ts";
import { type ApiResponse, jsonResponse } from "./http.ts";

/** What the scheduler knows beyond what it has written into the pod. */
export interface SchedulingReasons {
  /** Why a pod has no node, node by node as they are now; undefined when it has one or was not tried yet. */
  explain(podUid: string): Refusal | undefined;
}

/**
 * "Scheduled": it has a node. "Unschedulable": it was tried and no node takes it. "Gated": gates of its own keep it from being tried.
 * "Waiting": its scheduler has not come to it yet.
 */
type SchedulingState = "Scheduled" | "Unschedulable" | "Gated" | "Waiting";

/** The answer of GET pods/scheduling. Ours alone, so it has a group of its own; fields are only ever added. */
interface PodScheduling {
  readonly kind: "PodScheduling";
  readonly apiVersion: "tessera.dev/v1";
  readonly metadata: { readonly name?: string; readonly namespace?: string; readonly uid?: string };
  readonly status: {
    readonly state: SchedulingState;
    readonly nodeName?: string;
    /** The nodes' reasons counted, as in the condition PodScheduled. */
    readonly message?: string;
    /** Every node that refuses the pod, by name. */
    readonly nodes: readonly { readonly name: string; readonly filter: string; readonly reasons: readonly string[] }[];
  };
}

/** GET pods/scheduling: why the pod is not on a node, node by node. */
export async function explainScheduling({ path, dependencies }: Call): Promise<ApiResponse> {
  const { value: pod } = await dependencies.registry.pods.read(path.namespace, path.name);
  const { name, namespace, uid = "" } = pod.metadata ?? {};
  const nodeName = pod.spec?.nodeName || undefined;
  const refusal = nodeName === undefined ? dependencies.scheduling.explain(uid) : undefined;
  const nodes = (refusal?.nodes ?? []).map(({ node, filter, reasons }) => ({ name: node, filter, reasons }));
  const answer: PodScheduling = {
    kind: "PodScheduling",
    apiVersion: "tessera.dev/v1",
    metadata: { name, namespace, uid },
    status: {
      state: stateOf(pod, refusal),
      nodeName,
      message: refusal?.message,
      nodes: nodes.sort((one, other) => one.name.localeCompare(other.name)),
    },
  };
  return jsonResponse(answer);
}

function stateOf({ spec }: Pod, refusal: Refusal | undefined): SchedulingState {
  if (spec?.nodeName) return "Scheduled";
  if ((spec?.schedulingGates?.length ?? 0) > 0) return "Gated";
  return refusal === undefined ? "Waiting" : "Unschedulable";
}

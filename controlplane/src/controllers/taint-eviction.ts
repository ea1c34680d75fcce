import { type Node, type Pod, type Taint, type Toleration, tolerates } from "@tessera/proto";
import { withDisruptionTarget } from "../registry/disruption.ts";
import type { CachedObject } from "../store/cache.ts";
import { cacheLoop, changesOf } from "./cache-loop.ts";
import { toTime } from "./clock.ts";
import type { ControlLoop } from "./control-loop.ts";
import type { ControllerDependencies } from "./dependencies.ts";
import { unless } from "./expected-errors.ts";
import { findPod, PodsByNode, podKey } from "./pods-by-node.ts";

/** A taint and since when it counts. */
export interface CountedTaint {
  readonly taint: Taint;
  readonly sinceMs: number;
}

/** When the pod has to leave; 0: at once, undefined: never. Of several tolerations for one taint the shortest counts, as in Kubernetes. */
export function evictionTime(tolerations: readonly Toleration[], taints: readonly CountedTaint[]): number | undefined {
  let earliest: number | undefined;
  for (const { taint, sinceMs } of taints) {
    const matching = tolerations.filter((toleration) => tolerates(toleration, taint));
    if (matching.length === 0) return 0;
    for (const { tolerationSeconds } of matching) {
      if (tolerationSeconds === undefined) continue;
      const at = sinceMs + Math.max(0, tolerationSeconds) * 1000;
      earliest = Math.min(earliest ?? at, at);
    }
  }
  return earliest;
}

/**
 * Sends pods away from nodes with taints of effect NoExecute, after the time for which they tolerate them. A pod on a node that nobody hears of is only
 * marked: its object stays until the node is back, and says that the pod has ended, or is deleted.
 *
 * When no node at all is ready it is more likely that the control plane is cut off than that all have died: then nobody is sent away, and the time that pods
 * tolerate counts from the end of that state. It counts from the start of this process too, for agents need a moment to come back after it.
 */
export function taintEviction({ registry, clock, log, events }: ControllerDependencies): ControlLoop {
  const { nodes, pods } = registry;
  const byNode = new PodsByNode(pods.cache);
  /** Taints that do not say when they were added: when they were first seen, by node. */
  const firstSeen = new Map<string, Map<string, number>>();
  let readyNodes = 0;
  let trustedSinceMs = clock.now();

  function countReady(before: Node | undefined, after: Node | undefined): boolean {
    const wasDark = readyNodes === 0;
    readyNodes += Number(isReady(after)) - Number(isReady(before));
    const isDawn = wasDark && readyNodes > 0;
    if (isDawn) trustedSinceMs = clock.now();
    return isDawn;
  }

  /** A taint that comes back counts anew. */
  function forgetSeen(node: CachedObject<Node>, isDeleted: boolean): void {
    const seen = firstSeen.get(node.name);
    if (!seen) return;
    const present = new Set(isDeleted ? [] : noExecuteTaints(node.value).map(taintKey));
    for (const key of seen.keys()) if (!present.has(key)) seen.delete(key);
    if (seen.size === 0) firstSeen.delete(node.name);
  }

  function countedTaints(node: CachedObject<Node>): CountedTaint[] {
    const taints = noExecuteTaints(node.value);
    const seen = firstSeen.get(node.name) ?? new Map<string, number>();
    firstSeen.set(node.name, seen);
    return taints.map((taint) => {
      const seenMs = seen.get(taintKey(taint)) ?? clock.now();
      seen.set(taintKey(taint), seenMs);
      return { taint, sinceMs: Math.max(Date.parse(taint.timeAdded ?? "") || seenMs, trustedSinceMs) };
    });
  }

  function* podsOfTainted(): Generator<string> {
    for (const node of nodes.cache.list()) if (noExecuteTaints(node.value).length > 0) yield* byNode.on(node.name);
  }

  async function evict({ namespace, name, uid }: CachedObject<Pod>): Promise<void> {
    const message = "Taint manager: deleting due to NoExecute taint";
    const change = (pod: Pod) => withDisruptionTarget(pod, "DeletionByTaintManager", message, toTime(clock.now()));
    await unless(["NotFound"], pods.mutate(namespace, name, change, { uid }));
    await unless(["NotFound", "Conflict"], pods.remove(namespace, name, { uid }));
    events.record({
      involved: { kind: "Pod", apiVersion: "v1", namespace, name, uid },
      type: "Normal",
      reason: "TaintManagerEviction",
      message: `Marking for deletion Pod ${namespace}/${name}`,
      source: { component: "tessera-controlplane" },
      timeMs: clock.now(),
    });
  }

  return cacheLoop({
    name: "taint-eviction",
    clock,
    log,
    sources: [
      byNode.source,
      changesOf(nodes.cache, (node, type, previous) => {
        const isDeleted = type === "DELETED";
        forgetSeen(node, isDeleted);
        if (countReady(previous?.value, isDeleted ? undefined : node.value)) return podsOfTainted();
        return !isDeleted && noExecuteTaints(node.value).length > 0 ? byNode.on(node.name) : [];
      }),
      changesOf(pods.cache, (pod, type) => {
        const node = pod.value.spec?.nodeName && nodes.cache.get("", pod.value.spec.nodeName);
        return type !== "DELETED" && node && noExecuteTaints(node.value).length > 0 ? [podKey(pod)] : [];
      }),
    ],
    async reconcile(key) {
      const pod = findPod(pods.cache, key);
      const node = pod?.value.spec?.nodeName && nodes.cache.get("", pod.value.spec.nodeName);
      if (!pod || !node || pod.value.metadata?.deletionTimestamp || hasEnded(pod.value) || readyNodes === 0) return undefined;
      const at = evictionTime(pod.value.spec?.tolerations ?? [], countedTaints(node));
      if (at === undefined) return undefined;
      if (at > clock.now()) return at - clock.now();
      await evict(pod);
      return undefined;
    },
  });
}

function noExecuteTaints(node: Node): readonly Taint[] {
  return (node.spec?.taints ?? []).filter((taint) => taint.effect === "NoExecute");
}

function taintKey(taint: Taint): string {
  return `${taint.key}=${taint.value ?? ""}`;
}

function isReady(node: Node | undefined): boolean {
  return node?.status?.conditions?.some((c) => c.type === "Ready" && c.status === "True") ?? false;
}

function hasEnded(pod: Pod): boolean {
  return pod.status?.phase === "Succeeded" || pod.status?.phase === "Failed";
}

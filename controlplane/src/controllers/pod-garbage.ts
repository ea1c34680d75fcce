import { type Node, type Pod, TesseraError } from "@tessera/proto";
import { withDisruptionTarget } from "../registry/disruption.ts";
import type { Resource } from "../registry/resource.ts";
import type { CachedObject } from "../store/cache.ts";
import { cacheLoop, changesOf } from "./cache-loop.ts";
import { toTime } from "./clock.ts";
import type { ControlLoop } from "./control-loop.ts";
import type { ControllerDependencies } from "./dependencies.ts";
import { unless } from "./expected-errors.ts";
import { findPod, PodsByNode, podKey } from "./pods-by-node.ts";

const DEFAULT_GRACE_MS = 40_000;

/**
 * Removes pods bound to a node that no longer exists: nobody else will. A Node that was deleted may register again and go on with its pods, so
 * they outlive it for a grace.
 */
export function lostPods({ registry, clock, log, events, nodeGoneGraceMs = DEFAULT_GRACE_MS }: ControllerDependencies): ControlLoop {
  const { nodes, pods } = registry;
  const byNode = new PodsByNode(pods.cache);
  const goneSince = new Map<string, number>();

  async function end(pod: CachedObject<Pod>, node: string): Promise<void> {
    const { namespace, name, uid } = pod;
    const message = `PodGC: node ${node} no longer exists`;
    events.record({
      involved: { kind: "Pod", apiVersion: "v1", namespace, name, uid },
      type: "Warning",
      reason: "NodeGone",
      message: `Node ${node} no longer exists, so the pod is removed`,
      source: { component: "tessera-controlplane" },
      timeMs: clock.now(),
    });
    // Those who watch see how it ended.
    await unless(
      ["NotFound"],
      pods.mutate(namespace, name, (current) => withLostNode(current, message, toTime(clock.now())), { uid }),
    );
    await unless(["NotFound", "Conflict"], pods.remove(namespace, name, { uid, graceSeconds: 0 }));
  }

  return cacheLoop({
    name: "lost-pods",
    clock,
    log,
    sources: [
      byNode.source,
      changesOf(nodes.cache, ({ name }) => [name]),
      changesOf(pods.cache, ({ value }, type) => {
        const node = value.spec?.nodeName;
        return type !== "DELETED" && node && !nodes.cache.get("", node) ? [node] : [];
      }),
    ],
    async reconcile(node) {
      if (nodes.cache.get("", node) || byNode.on(node).size === 0) {
        goneSince.delete(node);
        return undefined;
      }
      const since = goneSince.get(node) ?? clock.now();
      goneSince.set(node, since);
      const graceLeft = since + nodeGoneGraceMs - clock.now();
      if (graceLeft > 0) return graceLeft;
      if (await nodeExists(nodes, node)) return undefined;
      const lost = [...byNode.on(node)].map((key) => findPod(pods.cache, key)).filter((pod) => pod !== undefined);
      await Promise.all(lost.map((pod) => end(pod, node)));
      return undefined;
    },
  });
}

/** Removes pods that are being deleted and never got a node: no agent will say that they are gone. */
export function unboundPods({ registry, clock, log }: ControllerDependencies): ControlLoop {
  const { pods } = registry;
  const isOrphan = (pod: Pod): boolean => pod.metadata?.deletionTimestamp !== undefined && !pod.spec?.nodeName;
  return cacheLoop({
    name: "unbound-pods",
    clock,
    log,
    sources: [changesOf(pods.cache, (pod, type) => (type !== "DELETED" && isOrphan(pod.value) ? [podKey(pod)] : []))],
    async reconcile(key) {
      const pod = findPod(pods.cache, key);
      if (!pod || !isOrphan(pod.value)) return undefined;
      await unless(["NotFound", "Conflict"], pods.remove(pod.namespace, pod.name, { uid: pod.uid, graceSeconds: 0 }));
      return undefined;
    },
  });
}

/** Asks the store: the cache may be behind, and pods are not removed on a guess. */
async function nodeExists(nodes: Resource<Node>, name: string): Promise<boolean> {
  try {
    await nodes.mutate("", name, () => undefined);
    return true;
  } catch (error) {
    if (error instanceof TesseraError && error.reason === "NotFound") return false;
    throw error;
  }
}

function withLostNode(pod: Pod, message: string, now: string): Pod | undefined {
  const phase = pod.status?.phase;
  if (phase === "Succeeded" || phase === "Failed") return undefined;
  const marked = withDisruptionTarget(pod, "DeletionByPodGC", message, now);
  return { ...marked, status: { ...marked.status, phase: "Failed" } };
}

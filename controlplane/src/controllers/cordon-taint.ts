import type { Node, Taint } from "@tessera/proto";
import { cacheLoop, changesOf } from "./cache-loop.ts";
import type { ControlLoop } from "./control-loop.ts";
import type { ControllerDependencies } from "./dependencies.ts";
import { unless } from "./expected-errors.ts";

const taint: Taint = { key: "node.kubernetes.io/unschedulable", effect: "NoSchedule" };

/** A cordoned node has the taint that says so, any other has not. The scheduler heeds spec.unschedulable by itself; the taint is for whoever reads taints. */
export function cordonTaint({ registry, clock, log }: ControllerDependencies): ControlLoop {
  const { nodes } = registry;
  return cacheLoop({
    name: "cordon-taint",
    clock,
    log,
    sources: [changesOf(nodes.cache, ({ name }, type) => (type === "DELETED" ? [] : [name]))],
    async reconcile(name) {
      const node = nodes.cache.get("", name)?.value;
      if (node !== undefined && withCordonTaint(node) !== node) await unless(["NotFound"], nodes.mutate("", name, withCordonTaint));
      return undefined;
    },
  });
}

/** The node with the taint as its spec.unschedulable wants it; the same node when it is so already. */
export function withCordonTaint(node: Node): Node {
  const { taints = [], ...spec } = node.spec ?? {};
  const others = taints.filter(({ key, effect }) => key !== taint.key || effect !== taint.effect);
  const next = spec.unschedulable === true ? [...others, taint] : others;
  const isThere = others.length < taints.length;
  if (isThere === (spec.unschedulable === true)) return node;
  return { ...node, spec: next.length > 0 ? { ...spec, taints: next } : spec };
}

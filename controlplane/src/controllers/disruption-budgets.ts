import { isDeepStrictEqual } from "node:util";
import type { Pod, PodDisruptionBudget } from "@tessera/proto";
import { budgetStatus, disruptionTimeoutMs, isBudgetOf } from "../registry/disruption.ts";
import type { CachedObject } from "../store/cache.ts";
import { cacheLoop, changesOf } from "./cache-loop.ts";
import type { ControlLoop } from "./control-loop.ts";
import type { ControllerDependencies } from "./dependencies.ts";
import { unless } from "./expected-errors.ts";

/** Says in the status of each PodDisruptionBudget how many of its pods may be evicted. */
export function disruptionBudgets({ registry, clock, log }: ControllerDependencies): ControlLoop {
  const { pods, podDisruptionBudgets: budgets } = registry;

  /** Budgets of a pod as it is, and as it was. */
  function budgetsOf(pod: CachedObject<Pod>, previous: CachedObject<Pod> | undefined): string[] {
    const concerned = [...budgets.cache.list(pod.namespace)].filter(
      ({ value }) => isBudgetOf(value, pod.value) || (previous !== undefined && isBudgetOf(value, previous.value)),
    );
    return concerned.map(keyOf);
  }

  const podsOf = (budget: CachedObject<PodDisruptionBudget>): Pod[] =>
    [...pods.cache.list(budget.namespace)].map(({ value }) => value).filter((pod) => isBudgetOf(budget.value, pod));

  return cacheLoop({
    name: "disruption-budgets",
    clock,
    log,
    sources: [
      changesOf(budgets.cache, (budget, type) => (type === "DELETED" ? [] : [keyOf(budget)])),
      changesOf(pods.cache, (pod, _type, previous) => budgetsOf(pod, previous)),
    ],
    async reconcile(key) {
      const [namespace = "", name = ""] = key.split("/");
      const budget = budgets.cache.get(namespace, name);
      if (budget === undefined) return undefined;
      const written = budgets.mutate(namespace, name, (current) => {
        const status = budgetStatus(current, podsOf(budget), clock.now());
        return isDeepStrictEqual(status, current.status) ? undefined : { ...current, status };
      });
      await unless(["NotFound"], written);
      // An eviction that comes to nothing is forgotten in time.
      const pending = Object.keys(budgets.cache.get(namespace, name)?.value.status?.disruptedPods ?? {}).length;
      return pending > 0 ? disruptionTimeoutMs : undefined;
    },
  });
}

function keyOf({ namespace, name }: CachedObject<PodDisruptionBudget>): string {
  return `${namespace}/${name}`;
}

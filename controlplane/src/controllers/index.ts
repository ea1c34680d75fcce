import type { ControlLoop } from "./control-loop.ts";
import { cordonTaint } from "./cordon-taint.ts";
import type { ControllerDependencies } from "./dependencies.ts";
import { disruptionBudgets } from "./disruption-budgets.ts";
import { expiredTokens } from "./expired-tokens.ts";
import { garbageCollection } from "./garbage-collection.ts";
import { namespaceDeletion } from "./namespace-deletion.ts";
import { defaultServiceAccounts, rootCertificates } from "./namespaced-defaults.ts";
import { lostPods, unboundPods } from "./pod-garbage.ts";
import { taintEviction } from "./taint-eviction.ts";

export { type Clock, systemClock } from "./clock.ts";
export type { ControlLoop } from "./control-loop.ts";
export type { ControllerDependencies } from "./dependencies.ts";

/** All controllers, none of them started: run each with the same signal. */
export function createControllers(deps: ControllerDependencies): readonly ControlLoop[] {
  return [
    cordonTaint,
    disruptionBudgets,
    garbageCollection,
    namespaceDeletion,
    defaultServiceAccounts,
    rootCertificates,
    expiredTokens,
    lostPods,
    unboundPods,
    taintEviction,
  ].map((create) => create(deps));
}

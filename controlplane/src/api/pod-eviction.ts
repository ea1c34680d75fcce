import { type Eviction, type Pod, type PodDisruptionBudget, TesseraError } from "@tessera/proto";
import { isBudgetOf, isReady, withDisruption, withDisruptionTarget } from "../registry/disruption.ts";
import { invalidObject } from "../registry/faults.ts";
import { formatTime } from "../registry/object-meta.ts";
import type { Call } from "./call.ts";
import { decodeBody } from "./decode.ts";
import { toDeleteRequest } from "./delete.ts";
import { type ApiResponse, withWarnings } from "./http.ts";
import { checkName, created } from "./pod-binding.ts";

const evictionKind = { group: "policy", version: "v1", kind: "Eviction" };
const budgetKind = { group: "policy", kind: "poddisruptionbudgets" };
/** What a client waits for that the controller has yet to look at. */
const retryAfterSeconds = 10;
/** Evictions under way that a budget keeps in mind at most. */
const maxDisruptedPods = 2000;

/** POST pods/eviction: a deletion in which the pod's disruption budget has a say. */
export async function evictPod(call: Call): Promise<ApiResponse> {
  const { path, request, dependencies } = call;
  const { object: eviction, faults, warnings } = await decodeBody<Eviction>(request, evictionKind);
  if (faults.length > 0) throw invalidObject("Eviction", "policy", path.name, faults);
  checkName(eviction.metadata?.name, path.name);
  const wish = toDeleteRequest(eviction.deleteOptions ?? {}, request.query);
  const { pods } = dependencies.registry;
  const pod = (await pods.read(path.namespace, path.name)).value;
  if (!isBeyondBudgets(pod)) await spendBudget(call, pod, wish.dryRun === true);
  const { object, removed } = await pods.deleteObject(path.namespace, path.name, wish);
  if (!removed && wish.dryRun !== true) await tellEviction(call, object.uid);
  return withWarnings(created(), warnings);
}

/** In the pod's status, for whoever counts its failures. By now the pod may be gone. */
async function tellEviction({ path, dependencies }: Call, uid: string): Promise<void> {
  const time = formatTime(dependencies.now());
  const change = (pod: Pod) => withDisruptionTarget(pod, "EvictionByEvictionAPI", "Eviction API: evicting", time);
  try {
    await dependencies.registry.pods.mutate(path.namespace, path.name, change, { uid });
  } catch (error) {
    if (!(error instanceof TesseraError && error.reason === "NotFound")) throw error;
  }
}

/** A pod that does not run, or goes already, is missed by nobody. */
function isBeyondBudgets({ status, metadata }: Pod): boolean {
  return metadata?.deletionTimestamp !== undefined || ["Pending", "Succeeded", "Failed"].includes(status?.phase ?? "");
}

/** Throws TesseraError "TooManyRequests" when the budget of the pod does not allow its eviction now. */
async function spendBudget({ path, dependencies }: Call, pod: Pod, dryRun: boolean): Promise<void> {
  const { podDisruptionBudgets } = dependencies.registry;
  const budgets = [...podDisruptionBudgets.cache.list(path.namespace)].filter(({ value }) => isBudgetOf(value, pod));
  const [budget] = budgets;
  if (budget === undefined) return;
  if (budgets.length > 1) {
    throw new TesseraError(
      "InternalError",
      "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
    );
  }
  const spend = (current: PodDisruptionBudget): PodDisruptionBudget | undefined => {
    if (!isReady(pod) && isExempt(current)) return undefined;
    checkBudget(current);
    return withDisruption(current, path.name, dependencies.now());
  };
  if (dryRun) spend(budget.value);
  else await podDisruptionBudgets.mutate(path.namespace, budget.name, spend);
}

/** Whether the budget lets pods go that are not ready. */
function isExempt({ spec = {}, status = {} }: PodDisruptionBudget): boolean {
  const { currentHealthy = 0, desiredHealthy = 0 } = status;
  return spec.unhealthyPodEvictionPolicy === "AlwaysAllow" || (desiredHealthy > 0 && currentHealthy >= desiredHealthy);
}

function checkBudget({ metadata = {}, status = {} }: PodDisruptionBudget): void {
  const { name = "" } = metadata;
  if ((status.observedGeneration ?? 0) < (metadata.generation ?? 0)) {
    throw refusal(name, `The disruption budget ${name} is still being processed by the server.`, retryAfterSeconds);
  }
  if (Object.keys(status.disruptedPods ?? {}).length >= maxDisruptedPods) {
    throw refusal(name, `The disruption budget ${name} has too many evictions under way.`, retryAfterSeconds);
  }
  if ((status.disruptionsAllowed ?? 0) > 0) return;
  const { desiredHealthy = 0, currentHealthy = 0 } = status;
  throw refusal(name, `The disruption budget ${name} needs ${desiredHealthy} healthy pods and has ${currentHealthy} currently`);
}

function refusal(name: string, why: string, seconds?: number): TesseraError {
  return new TesseraError("TooManyRequests", "Cannot evict pod as it would violate the pod's disruption budget.", {
    causes: [{ reason: "DisruptionBudget", message: why }],
    details: { name, ...budgetKind, ...(seconds === undefined ? {} : { retryAfterSeconds: seconds }) },
  });
}

import { isCancellation } from "@tessera/proto";
import type { ApiObject } from "./api/api.ts";
import { displayName, pathOf } from "./api/discovery.ts";
import { follow } from "./api/watch.ts";
import type { ClusterContext, CommandContext } from "./command.ts";
import { type Chosen, titleOf } from "./selection.ts";

/** Tells an object to go. Returns its uid, so that a successor of the same name is not waited for. */
export async function requestDeletion(
  doomed: Chosen,
  options: { readonly gracePeriodSeconds?: number; readonly dryRun?: readonly string[]; readonly propagationPolicy?: string },
  cluster: ClusterContext,
  context: CommandContext,
): Promise<string | undefined> {
  const path = pathOf(doomed.resource, doomed.namespace, doomed.name);
  const body = { apiVersion: "v1", kind: "DeleteOptions", propagationPolicy: "Background", ...options };
  const answer = await cluster.api.request<ApiObject & { details?: { uid?: string } }>("DELETE", path, { body, signal: context.signal });
  return answer.kind === "Status" ? answer.details?.uid : answer.metadata?.uid;
}

/** Undefined when it is gone; otherwise what to tell. */
export async function waitUntilGone(
  doomed: Chosen,
  uid: string | undefined,
  timeoutMs: number | undefined,
  cluster: ClusterContext,
  context: CommandContext,
): Promise<string | undefined> {
  const timeout = timeoutMs === undefined ? undefined : AbortSignal.timeout(timeoutMs);
  const signal = timeout === undefined ? context.signal : AbortSignal.any([context.signal, timeout]);
  const path = pathOf(doomed.resource, doomed.namespace);
  const isIt = (object: ApiObject) => object.metadata?.name === doomed.name && (uid === undefined || object.metadata?.uid === uid);
  try {
    for await (const news of follow<ApiObject>(cluster.api, path, { fieldSelector: `metadata.name=${doomed.name}` }, { signal })) {
      if (news.type === "LISTED" ? !news.items.some(isIt) : news.type === "DELETED" && isIt(news.object)) return undefined;
    }
    return undefined;
  } catch (error) {
    if (!isCancellation(error) && !(error instanceof Error && error.name === "TimeoutError")) throw error;
    if (timeout?.aborted !== true) return `stopped waiting for ${titleOf(doomed)}, which is still being deleted`;
    const hint = `"tsctl describe ${displayName(doomed.resource)} ${doomed.name}" may say why`;
    return `${titleOf(doomed)} is still there after ${(timeoutMs ?? 0) / 1000} s; ${hint}`;
  }
}

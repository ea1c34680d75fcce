import type { Node } from "@tessera/proto";
import { TesseraError } from "@tessera/proto";
import { ClusterApi } from "./cluster-api.ts";
import { type Cluster, ClusterFolder } from "./cluster-file.ts";
import { readTail } from "./host-process.ts";
import type { AdminAccess } from "./kubeconfig.ts";
import type { DevSettings } from "./settings.ts";
import { waitFor } from "./wait.ts";

export function isReady(node: Node): boolean {
  return node.status?.conditions?.some((condition) => condition.type === "Ready" && condition.status === "True") ?? false;
}

/** Waits until every node of the cluster is Ready, watching; throws with the end of a guilty agent's log when the deadline passes. */
export async function awaitNodes(
  cluster: Cluster,
  settings: DevSettings,
  access: AdminAccess,
  options: { readonly deadlineMs: number; readonly signal?: AbortSignal },
): Promise<void> {
  const api = new ClusterApi(access);
  const timeout = AbortSignal.timeout(options.deadlineMs);
  const signal = options.signal === undefined ? timeout : AbortSignal.any([timeout, options.signal]);
  const missing = new Set(cluster.nodes.map((node) => node.name));
  const take = (node: Node) => {
    const name = node.metadata?.name ?? "";
    if (cluster.nodes.some((wanted) => wanted.name === name)) isReady(node) ? missing.delete(name) : missing.add(name);
    return missing.size === 0;
  };
  try {
    await waitFor(async () => ((await followNodes(api, take, signal)) ? true : undefined), {
      deadlineMs: options.deadlineMs,
      everyMs: 50,
      signal,
    });
  } catch (error) {
    if (!timeout.aborted || options.signal?.aborted === true) throw error;
  } finally {
    api.close();
  }
  if (missing.size > 0) throw await nodesFailure(cluster, settings, [...missing], options.deadlineMs);
}

/** One list and one watch; false when the watch ended before `take` was satisfied. */
async function followNodes(api: ClusterApi, take: (node: Node) => boolean, signal: AbortSignal): Promise<boolean> {
  try {
    const list = await api.listNodes(signal);
    if (list.items.map(take).includes(true)) return true;
    for await (const node of api.watchNodes(list.resourceVersion, signal)) if (take(node)) return true;
    return false;
  } catch (error) {
    // The control plane was restarted under us: ask again until the deadline.
    if (error instanceof TesseraError && error.reason === "ServiceUnavailable") return false;
    throw error;
  }
}

async function nodesFailure(
  cluster: Cluster,
  settings: DevSettings,
  missing: readonly string[],
  deadlineMs: number,
): Promise<TesseraError> {
  const folder = new ClusterFolder(settings.home, cluster.name);
  const guilty = missing[0] ?? "";
  const tail = await readTail(folder.agentLog(guilty), 12);
  return new TesseraError(
    "Timeout",
    `${missing.join(", ")} not Ready within ${deadlineMs / 1000} s; the end of ${folder.agentLog(guilty)}:\n${tail.map((line) => `  ${line}`).join("\n")}`,
  );
}

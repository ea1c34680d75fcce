import { setTimeout as delay } from "node:timers/promises";
import { type Node, type Pod, TesseraError } from "@tessera/proto";
import type { ApiList } from "../api/api.ts";
import { type CommandContext, defineCommand, flag } from "../command.ts";
import { type Permissions, sortPods } from "../drain/sort-pods.ts";
import { requestDeletion, waitUntilGone } from "../gone.ts";
import { chooseNodes, type NodeChoice, nodeChoiceFaults, parseNodeChoice } from "../nodes.ts";
import { parseDuration } from "../print/age.ts";
import { type Chosen, titleOf } from "../selection.ts";
import { parseWriting, tellWritten, type Writing } from "../writing.ts";
import { setSchedulable } from "./cordon.ts";

interface DrainOptions extends Permissions {
  readonly nodes: NodeChoice;
  readonly podSelector?: string;
  readonly gracePeriodSeconds?: number;
  readonly timeoutMs?: number;
  readonly disableEviction: boolean;
  readonly writing: Writing;
}

/** Between two tries to evict a pod whose budget does not allow it now. */
const retryMs = 5_000;

export const drainCommand = defineCommand<DrainOptions>({
  name: "drain",
  summary: "Empty nodes, for maintenance",
  examples: `# Pods that nobody would make again need --force
tsctl drain node-1 --force --delete-emptydir-data
# Not longer than that, with a shorter grace period
tsctl drain node-1 --force --grace-period 5 --timeout 2m`,
  declare: (command) =>
    command
      .argument("[node...]", "names of nodes")
      .option("-l, --selector <labels>", "all nodes with these labels")
      .option("--pod-selector <labels>", "only pods with these labels")
      .option("--force", "also pods that no controller would make again")
      .option("--ignore-daemonsets", "leave pods of DaemonSets where they are")
      .option("--delete-emptydir-data", "also pods with emptyDir volumes, whose data goes")
      .option("--grace-period <seconds>", "time for the containers to end by themselves; -1: the pod's own", "-1")
      .option("--timeout <duration>", "how long to try; 0: without an end", "0")
      .option("--disable-eviction", "delete pods, whatever their disruption budgets say")
      .option("--dry-run <where>", 'change nothing: "client" or "server"'),
  parse: (words, flags) => {
    const timeoutMs = parseDuration(flag.text(flags["timeout"]) ?? "0");
    if (timeoutMs === undefined)
      throw new TesseraError("BadRequest", `--timeout "${flags["timeout"]}" is not a duration such as 30s or 5m`);
    const grace = flag.text(flags["gracePeriod"]) ?? "-1";
    if (!/^-?\d+$/.test(grace)) throw new TesseraError("BadRequest", `--grace-period "${grace}" is not a number of seconds`);
    return {
      nodes: parseNodeChoice(words, flags),
      podSelector: flag.text(flags["podSelector"]),
      force: flag.isSet(flags["force"]),
      ignoreDaemonSets: flag.isSet(flags["ignoreDaemonsets"]),
      deleteEmptyDirData: flag.isSet(flags["deleteEmptydirData"]),
      gracePeriodSeconds: Number(grace) < 0 ? undefined : Number(grace),
      timeoutMs: timeoutMs === 0 ? undefined : timeoutMs,
      disableEviction: flag.isSet(flags["disableEviction"]),
      writing: parseWriting({ dryRun: flag.text(flags["dryRun"]) }),
    };
  },
  validate: ({ nodes }) => nodeChoiceFaults(nodes, "drain"),
  run: async (options, context) => {
    const nodes = await chooseNodes(options.nodes, context);
    for (const node of nodes) await setSchedulable(node, false, options.writing, context);
    const pending: string[] = [];
    for (const node of nodes) {
      const name = node.metadata?.name ?? "";
      const faults = await drainNode(node, options, context);
      if (faults.length === 0) continue;
      pending.push(name);
      await context.err.write(`error: unable to drain node "${name}":\n${faults.map((fault) => `  ${fault}\n`).join("")}`);
    }
    if (pending.length === 0) return 0;
    await context.err.write(`There are pending nodes to be drained:\n${pending.map((name) => ` ${name}\n`).join("")}`);
    return 1;
  },
});

/** Returns what stands in the way. */
async function drainNode(node: Node, options: DrainOptions, context: CommandContext): Promise<readonly string[]> {
  const { api, discovery } = await context.cluster();
  const query = { fieldSelector: `spec.nodeName=${node.metadata?.name}`, labelSelector: options.podSelector };
  const list = await api.request<ApiList<Pod>>("GET", "/api/v1/pods", { query, signal: context.signal });
  const { leaving, warnings, faults } = sortPods(list.items ?? [], options);
  if (faults.length > 0) return faults;
  if (warnings.length > 0) await context.err.write(`Warning: ${warnings.join("; ")}\n`);
  const resource = (await discovery()).find("pods");
  const timeout = options.timeoutMs === undefined ? undefined : AbortSignal.timeout(options.timeoutMs);
  const results = await Promise.all(leaving.map(async (pod) => await removePod({ pod, resource, node, timeout }, options, context)));
  const left = results.filter((each) => each !== undefined);
  if (left.length === 0)
    await tellWritten({ metadata: node.metadata }, "drained", (await discovery()).find("nodes"), options.writing, context);
  return left;
}

interface Leaving {
  readonly pod: Pod;
  readonly resource: Chosen["resource"];
  readonly node: Node;
  readonly timeout: AbortSignal | undefined;
}

/** Undefined when it is gone; otherwise why it is still there. */
async function removePod({ pod, resource, timeout }: Leaving, options: DrainOptions, context: CommandContext): Promise<string | undefined> {
  const { name = "", namespace = "", uid } = pod.metadata ?? {};
  const chosen: Chosen = { resource, namespace, name };
  const verb = options.disableEviction ? "deleted" : "evicted";
  const how = options.writing.dryRun === "none" ? "" : ` (${options.writing.dryRun === "server" ? "server " : ""}dry run)`;
  await context.out.write(`${options.disableEviction ? "deleting" : "evicting"} pod ${namespace}/${name}${how}\n`);
  if (options.writing.dryRun === "client") return undefined;
  try {
    await askToLeave(chosen, uid, options, timeout, context);
    if (options.writing.dryRun === "none") {
      const cluster = await context.cluster();
      const signal = timeout === undefined ? context.signal : AbortSignal.any([context.signal, timeout]);
      const left = await waitUntilGone(chosen, uid, undefined, cluster, { ...context, signal });
      if (left !== undefined) return left;
    }
  } catch (error) {
    if (!(error instanceof TesseraError) || error.reason === "ServiceUnavailable") throw error;
    return `${namespace}/${name}: ${error.message}`;
  }
  await context.out.write(`${titleOf(chosen)} ${verb}${how}\n`);
  return undefined;
}

/** Asks until it may go. One that is gone by itself is as good. */
async function askToLeave(
  chosen: Chosen,
  uid: string | undefined,
  { disableEviction, gracePeriodSeconds, writing }: DrainOptions,
  timeout: AbortSignal | undefined,
  context: CommandContext,
): Promise<void> {
  const cluster = await context.cluster();
  const { name, namespace = "" } = chosen;
  const dryRun = writing.dryRun === "server" ? { dryRun: ["All"] } : {};
  const path = `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(name)}/eviction`;
  const deleteOptions = { gracePeriodSeconds, preconditions: { uid }, ...dryRun };
  const body = { apiVersion: "policy/v1", kind: "Eviction", metadata: { name, namespace }, deleteOptions };
  for (;;) {
    try {
      if (disableEviction) await requestDeletion(chosen, deleteOptions, cluster, context);
      else
        await cluster.api.request("POST", path, {
          body,
          query: writing.dryRun === "server" ? { dryRun: "All" } : {},
          signal: context.signal,
        });
      return;
    } catch (error) {
      if (!(error instanceof TesseraError)) throw error;
      // Another pod has its name by now.
      if (error.reason === "NotFound" || error.reason === "Conflict") return;
      if (error.reason !== "TooManyRequests" || timeout?.aborted === true) throw error;
      await context.err.write(
        `error when evicting pods/"${name}" -n "${namespace}" (will retry after ${retryMs / 1000}s): ${error.message}\n`,
      );
      await delay(retryMs, undefined, { signal: context.signal });
    }
  }
}

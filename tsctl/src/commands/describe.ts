import { type Node, type Pod, TesseraError } from "@tessera/proto";
import type { ApiList, ApiObject } from "../api/api.ts";
import { apiVersionOf, pathOf } from "../api/discovery.ts";
import { type ClusterContext, type CommandContext, defineCommand, flag } from "../command.ts";
import { describeEvents, readEvents } from "../describe/events.ts";
import { describeObject } from "../describe/generic.ts";
import { describeNode } from "../describe/node.ts";
import { describePod } from "../describe/pod.ts";
import { formatLines, type Line } from "../describe/writer.ts";
import { parseTargetWords, resolveTargets, type Target, type TargetWords } from "../targets.ts";

interface DescribeOptions {
  readonly words: TargetWords;
  readonly allNamespaces: boolean;
  readonly selector?: string;
  readonly showEvents: boolean;
}

export const describeCommand = defineCommand<DescribeOptions>({
  name: "describe",
  summary: "Tell everything about objects, with their events",
  examples: `# Why does it not start?
tsctl describe pod hello
# All nodes
tsctl describe nodes`,
  declare: (command) =>
    command
      .argument("[type...]", "TYPE, TYPE NAME... or TYPE/NAME...")
      .option("-A, --all-namespaces", "objects of all namespaces")
      .option("-l, --selector <labels>", "only objects with these labels")
      .option("--no-show-events", "leave the events out"),
  parse: (words, flags) => ({
    words: parseTargetWords(words, "describe"),
    allNamespaces: flag.isSet(flags["allNamespaces"]),
    selector: flag.text(flags["selector"]),
    showEvents: flags["showEvents"] !== false,
  }),
  run: async (options, context) => {
    const cluster = await context.cluster();
    const targets = resolveTargets(options.words, await cluster.discovery());
    let code = 0;
    let separator = "";
    for (const target of targets) {
      try {
        for (const object of await fetchObjects(target, options, cluster, context)) {
          const lines = await describe(object, target, cluster, context, options);
          await context.out.write(separator + formatLines(lines));
          separator = "\n\n";
        }
      } catch (error) {
        // The others are described all the same.
        if (!(error instanceof TesseraError) || error.reason !== "NotFound") throw error;
        await context.err.write(`error: ${error.message}\n`);
        code = 1;
      }
    }
    if (separator === "" && code === 0)
      await context.err.write(`No ${targets.map((target) => target.resource.plural).join(", ")} to describe\n`);
    return code;
  },
});

async function fetchObjects(
  target: Target,
  options: DescribeOptions,
  cluster: ClusterContext,
  context: CommandContext,
): Promise<ApiObject[]> {
  const { resource, name } = target;
  const path = pathOf(resource, options.allNamespaces ? undefined : cluster.namespace, name);
  if (name !== undefined) return [await cluster.api.request<ApiObject>("GET", path, { signal: context.signal })];
  const list = await cluster.api.request<ApiList>("GET", path, { query: { labelSelector: options.selector }, signal: context.signal });
  return (list.items ?? []).map((item) => ({ ...item, apiVersion: apiVersionOf(resource), kind: resource.kind }));
}

async function describe(
  object: ApiObject,
  { resource }: Target,
  cluster: ClusterContext,
  context: CommandContext,
  options: DescribeOptions,
): Promise<Line[]> {
  const now = context.clock.now();
  const lines = await describeBody(object, resource.namespaced, cluster, context, now);
  if (!options.showEvents) return lines;
  const events = await readEvents(cluster.api, object, object.metadata?.namespace ?? "default", context.signal);
  return [...lines, describeEvents(events, now)];
}

async function describeBody(
  object: ApiObject,
  namespaced: boolean,
  cluster: ClusterContext,
  context: CommandContext,
  now: number,
): Promise<Line[]> {
  switch (`${object.apiVersion}/${object.kind}`) {
    case "v1/Pod":
      return describePod(object as Pod, now);
    case "v1/Node": {
      const query = { fieldSelector: `spec.nodeName=${object.metadata?.name}` };
      const pods = await cluster.api.request<ApiList<Pod>>("GET", "/api/v1/pods", { query, signal: context.signal });
      return describeNode(object as Node, pods.items ?? [], now);
    }
    default:
      return describeObject(object, namespaced);
  }
}

import type { PodMetrics } from "@tessera/proto";
import type { ApiList } from "../api/api.ts";
import { type CommandContext, defineCommand, flag } from "../command.ts";
import { type Amounts, addUp, compareBy, formatCpu, formatMemory, parseSortKey, type SortKey, toAmounts } from "../print/amounts.ts";
import { formatColumns } from "../print/columns.ts";

interface TopPodOptions {
  readonly name?: string;
  readonly allNamespaces: boolean;
  readonly selector?: string;
  readonly containers: boolean;
  readonly sum: boolean;
  readonly sortBy: SortKey;
  readonly json: boolean;
  readonly noHeaders: boolean;
}

interface Row extends Amounts {
  readonly namespace: string;
  readonly pod: string;
  /** Of the pod, or of the container. */
  readonly name: string;
}

export const topPodCommand = defineCommand<TopPodOptions>({
  name: "top pod",
  aliases: ["pods", "po"],
  summary: "Show what pods use of CPU and memory",
  examples: `# Pods of the namespace, the busiest first
tsctl top pod
# Which container of the whole cluster holds most memory?
tsctl top pod -A --containers --sort-by memory`,
  declare: (command) =>
    command
      .argument("[name]", "only this pod")
      .option("-A, --all-namespaces", "pods of all namespaces")
      .option("-l, --selector <labels>", "only pods with these labels, such as app=web")
      .option("--containers", "each container by itself")
      .option("--sum", "a last line with the sum")
      .option("--sort-by <column>", "cpu, memory or name; cpu unless given")
      .option("-o, --output <format>", '"json": as the server says it')
      .option("--no-headers", "rows only"),
  parse: ([name], flags) => ({
    name,
    allNamespaces: flag.isSet(flags["allNamespaces"]),
    selector: flag.text(flags["selector"]),
    containers: flag.isSet(flags["containers"]),
    sum: flag.isSet(flags["sum"]),
    sortBy: parseSortKey(flag.text(flags["sortBy"])),
    json: flags["output"] === "json",
    noHeaders: flags["headers"] === false,
  }),
  validate: ({ name, selector, allNamespaces }) => [
    ...(name !== undefined && selector !== undefined ? ["a selector chooses among all pods: leave it out, or the name"] : []),
    ...(name !== undefined && allNamespaces ? ["a named pod is in one namespace: leave -A out, or the name"] : []),
  ],
  run: async (options, context) => {
    const answer = await fetchMetrics(options, context);
    if (options.json) {
      await context.out.write(`${JSON.stringify(answer, null, 4)}\n`);
      return 0;
    }
    const rows = toPods(answer).flatMap((pod) => toRows(pod, options.containers));
    if (rows.length === 0) {
      const { namespace } = await context.cluster();
      const where = options.allNamespaces ? "" : ` in namespace "${namespace}" (-A shows all namespaces)`;
      await context.err.write(`Nothing is known of any pod's use${where}; a pod shows some seconds after it was started\n`);
      return 0;
    }
    await context.out.write(formatColumns(toTable(rows.sort(compareBy(options.sortBy)), options)));
    return 0;
  },
});

async function fetchMetrics(options: TopPodOptions, { cluster, signal }: CommandContext): Promise<ApiList<PodMetrics> | PodMetrics> {
  const { api, namespace } = await cluster();
  const scope = options.allNamespaces ? "" : `/namespaces/${encodeURIComponent(namespace)}`;
  const name = options.name === undefined ? "" : `/${encodeURIComponent(options.name)}`;
  return await api.request("GET", `/apis/metrics.k8s.io/v1beta1${scope}/pods${name}`, {
    query: { labelSelector: options.selector },
    signal,
  });
}

function toPods(answer: ApiList<PodMetrics> | PodMetrics): readonly PodMetrics[] {
  return answer.kind === "PodMetrics" ? [answer as PodMetrics] : ((answer as ApiList<PodMetrics>).items ?? []);
}

function toRows({ metadata, containers = [] }: PodMetrics, each: boolean): Row[] {
  const { namespace = "", name: pod = "" } = metadata ?? {};
  const used = containers.map((container) => ({ namespace, pod, name: container.name ?? "", ...toAmounts(container.usage) }));
  return each ? used : [{ namespace, pod, name: pod, ...addUp(used) }];
}

function toTable(rows: readonly Row[], { allNamespaces, containers, sum, noHeaders }: TopPodOptions): string[][] {
  const cells = (namespace: string, pod: string, container: string, amounts: Amounts) => [
    ...(allNamespaces ? [namespace] : []),
    pod,
    ...(containers ? [container] : []),
    formatCpu(amounts),
    formatMemory(amounts),
  ];
  const header = [...(allNamespaces ? ["NAMESPACE"] : []), ...(containers ? ["POD", "CONTAINER"] : ["NAME"]), "CPU", "MEMORY"];
  const total = allNamespaces ? cells("sum", "", "", addUp(rows)) : cells("", "sum", "", addUp(rows));
  return [...(noHeaders ? [] : [header]), ...rows.map((row) => cells(row.namespace, row.pod, row.name, row)), ...(sum ? [total] : [])];
}

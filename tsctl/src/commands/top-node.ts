import { type Node, type NodeMetrics, TesseraError } from "@tessera/proto";
import type { ApiList } from "../api/api.ts";
import { type CommandContext, defineCommand, flag } from "../command.ts";
import { type Amounts, compareBy, formatCpu, formatMemory, formatShare, parseSortKey, type SortKey, toAmounts } from "../print/amounts.ts";
import { formatColumns } from "../print/columns.ts";

interface TopNodeOptions {
  readonly name?: string;
  readonly selector?: string;
  readonly sortBy: SortKey;
  readonly json: boolean;
  readonly noHeaders: boolean;
}

const metricsPath = "/apis/metrics.k8s.io/v1beta1/nodes";

export const topNodeCommand = defineCommand<TopNodeOptions>({
  name: "top node",
  aliases: ["nodes", "no"],
  summary: "Show what nodes use of their CPU and memory",
  examples: `# All nodes, the busiest first
tsctl top node
# Those of a zone, by memory
tsctl top node -l zone=a --sort-by memory`,
  declare: (command) =>
    command
      .argument("[name]", "only this node")
      .option("-l, --selector <labels>", "only nodes with these labels, such as zone=a")
      .option("--sort-by <column>", "cpu, memory or name; cpu unless given")
      .option("-o, --output <format>", '"json": as the server says it')
      .option("--no-headers", "rows only"),
  parse: ([name], flags) => ({
    name,
    selector: flag.text(flags["selector"]),
    sortBy: parseSortKey(flag.text(flags["sortBy"])),
    json: flags["output"] === "json",
    noHeaders: flags["headers"] === false,
  }),
  validate: ({ name, selector }) =>
    name !== undefined && selector !== undefined ? ["a selector chooses among all nodes: leave it out, or the name"] : [],
  run: async (options, context) => {
    if (options.json) return await writeMetrics(options, context);
    const [metrics, nodes] = await Promise.all([fetchMetrics(options, context), fetchNodes(options, context)]);
    const used = new Map(metrics.map((one) => [one.metadata?.name ?? "", toAmounts(one.usage)]));
    const known = nodes.flatMap((node) => {
      const name = node.metadata?.name ?? "";
      const amounts = used.get(name);
      return amounts === undefined ? [] : [{ name, ...amounts, allocatable: toAmounts(node.status?.allocatable) }];
    });
    const silent = nodes.map((node) => node.metadata?.name ?? "").filter((name) => !used.has(name));
    const rows = [
      ...known.sort(compareBy(options.sortBy)).map((node) => [node.name, ...formatNode(node, node.allocatable)]),
      // They count, and that nothing is known of them is worth knowing.
      ...silent.sort().map((name) => [name, ...Array<string>(4).fill("<unknown>")]),
    ];
    if (rows.length === 0) await context.err.write("No nodes\n");
    else await context.out.write(formatColumns(options.noHeaders ? rows : [["NAME", "CPU", "CPU%", "MEMORY", "MEMORY%"], ...rows]));
    return 0;
  },
});

function formatNode(used: Amounts, allocatable: Amounts): string[] {
  return [
    formatCpu(used),
    formatShare(used.cpuMillis, allocatable.cpuMillis),
    formatMemory(used),
    formatShare(used.memoryBytes, allocatable.memoryBytes),
  ];
}

async function writeMetrics({ name, selector }: TopNodeOptions, { cluster, out, signal }: CommandContext): Promise<number> {
  const { api } = await cluster();
  const path = name === undefined ? metricsPath : `${metricsPath}/${encodeURIComponent(name)}`;
  await out.write(`${JSON.stringify(await api.request("GET", path, { query: { labelSelector: selector }, signal }), null, 4)}\n`);
  return 0;
}

/** One of them may be silent: that is told in the table. */
async function fetchMetrics({ name, selector }: TopNodeOptions, { cluster, signal }: CommandContext): Promise<readonly NodeMetrics[]> {
  const { api } = await cluster();
  if (name === undefined) {
    const list = await api.request<ApiList<NodeMetrics>>("GET", metricsPath, { query: { labelSelector: selector }, signal });
    return list.items ?? [];
  }
  try {
    return [await api.request<NodeMetrics>("GET", `${metricsPath}/${encodeURIComponent(name)}`, { signal })];
  } catch (error) {
    if (error instanceof TesseraError && error.reason === "NotFound") return [];
    throw error;
  }
}

async function fetchNodes({ name, selector }: TopNodeOptions, { cluster, signal }: CommandContext): Promise<readonly Node[]> {
  const { api } = await cluster();
  if (name !== undefined) return [await api.request<Node>("GET", `/api/v1/nodes/${encodeURIComponent(name)}`, { signal })];
  return (await api.request<ApiList<Node>>("GET", "/api/v1/nodes", { query: { labelSelector: selector }, signal })).items ?? [];
}

import { contextName, upCluster } from "@tessera/deploy";
import { TesseraError } from "@tessera/proto";
import { collect, defineCommand, flag } from "../../command.ts";
import { parseDuration } from "../../print/age.ts";
import { StepProgress } from "../../progress.ts";
import { defaultClusterName, devSettings } from "./dev-settings.ts";

interface UpOptions {
  readonly name: string;
  readonly nodes?: number;
  readonly agentOptions?: readonly string[];
  readonly deadlineMs: number;
}

export const devUpCommand = defineCommand<UpOptions>({
  name: "dev up",
  summary: "Bring up a development cluster on this machine, or what is missing of it",
  examples: `# One control plane and three nodes, context tessera-dev
tsctl dev up
# A second cluster beside it
tsctl dev up --name other --nodes 1
# Nodes that remove unused images and evict pods when the machine's disk fills up
tsctl dev up --agent-option=--image-gc-high=85 --agent-option=--eviction-disk-available=10`,
  declare: (command) =>
    command
      .option("--name <name>", "name of the cluster", defaultClusterName)
      .option("--nodes <count>", "how many nodes; 3 for a new cluster, and as many as it has for another")
      .option("--agent-option <word>", "one word more for the agents that are started, see agent serve --help (repeatable)", collect)
      .option("--timeout <duration>", "how long the control plane, and then the nodes, may take", "2m"),
  parse: (_words, flags) => {
    const nodes = flag.text(flags["nodes"]);
    const timeout = flag.text(flags["timeout"]) ?? "2m";
    const deadlineMs = parseDuration(timeout);
    if (nodes !== undefined && !/^\d+$/.test(nodes)) throw new TesseraError("BadRequest", `--nodes "${nodes}" is not a number`);
    if (deadlineMs === undefined) throw new TesseraError("BadRequest", `--timeout "${timeout}" is not a duration such as 30s or 5m`);
    const agentOptions = flag.texts(flags["agentOption"]);
    return {
      name: flag.text(flags["name"]) ?? defaultClusterName,
      nodes: nodes === undefined ? undefined : Number(nodes),
      agentOptions: agentOptions.length > 0 ? agentOptions : undefined,
      deadlineMs,
    };
  },
  run: async (options, context) => {
    const progress = new StepProgress(context);
    const start = context.clock.now();
    await context.err.write(`Cluster "${options.name}":\n`);
    try {
      const cluster = await upCluster({ ...options, signal: context.signal }, devSettings(context.settings), progress);
      progress.end();
      const seconds = ((context.clock.now() - start) / 1000).toFixed(1);
      const nodes = cluster.nodes.length === 1 ? "1 node is" : `${cluster.nodes.length} nodes are`;
      await context.err.write(`${nodes} Ready after ${seconds} s; the kubeconfig's context is ${contextName(cluster.name)}\n`);
      return 0;
    } catch (error) {
      progress.end();
      throw error;
    }
  },
});

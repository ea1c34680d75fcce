import { type ClusterStatus, clusterStatus, noSuchCluster } from "@tessera/deploy";
import { TesseraError } from "@tessera/proto";
import { stringify } from "yaml";
import { defineCommand, flag } from "../../command.ts";
import { formatColumns } from "../../print/columns.ts";
import { defaultClusterName, devSettings } from "./dev-settings.ts";

interface StatusOptions {
  readonly name: string;
  readonly output: string;
}

export const devStatusCommand = defineCommand<StatusOptions>({
  name: "dev status",
  summary: "Show the parts of a development cluster: addresses, folders, logs, processes",
  examples: `tsctl dev status
# The pid of an agent, for a script
tsctl dev status -o json | jq '.parts[] | select(.name == "node-1 agent") | .pid'`,
  declare: (command) =>
    command.option("--name <name>", "name of the cluster", defaultClusterName).option("-o, --output <format>", '"json" or "yaml"'),
  parse: (_words, flags) => {
    const output = flag.text(flags["output"]) ?? "";
    if (!["", "wide", "json", "yaml"].includes(output))
      throw new TesseraError("BadRequest", `-o "${output}" is not known here; there are json and yaml`);
    return { name: flag.text(flags["name"]) ?? defaultClusterName, output };
  },
  run: async ({ name, output }, context) => {
    const status = await clusterStatus(name, devSettings(context.settings));
    if (status === undefined) throw noSuchCluster(name);
    if (output === "json") await context.out.write(`${JSON.stringify(status, null, 2)}\n`);
    else if (output === "yaml") await context.out.write(stringify(status, { lineWidth: 0 }));
    else await context.out.write(format(status));
    return 0;
  },
});

function format(status: ClusterStatus): string {
  const head = [
    `Cluster ${status.name}: ${status.state}`,
    `API at ${status.server}, context ${status.context} in ${status.kubeconfig}`,
    `Nodes in ${status.subnet} on ${status.bridge}, pods in ${status.podCidr}, files in ${status.folder}`,
    "",
  ];
  const rows = status.parts.map((part) => [
    part.name,
    part.state,
    part.pid === null ? "-" : String(part.pid),
    part.address || "-",
    part.logFile,
  ]);
  return `${head.join("\n")}\n${formatColumns([["PART", "STATE", "PID", "ADDRESS", "LOG"], ...rows])}`;
}

import { listClusters } from "@tessera/deploy";
import { defineCommand, flag } from "../../command.ts";
import { formatAge } from "../../print/age.ts";
import { formatColumns } from "../../print/columns.ts";
import { devSettings } from "./dev-settings.ts";

interface ListOptions {
  readonly output: string;
}

export const devListCommand = defineCommand<ListOptions>({
  name: "dev list",
  aliases: ["ls"],
  summary: "Show the development clusters of this machine",
  examples: `tsctl dev list
tsctl dev list -o json`,
  declare: (command) => command.option("-o, --output <format>", '"json" or "name"'),
  parse: (_words, flags) => ({ output: flag.text(flags["output"]) ?? "" }),
  run: async ({ output }, context) => {
    const clusters = await listClusters(devSettings(context.settings));
    if (output === "json") await context.out.write(`${JSON.stringify(clusters, null, 2)}\n`);
    else if (output === "name") await context.out.write(clusters.map(({ name }) => `${name}\n`).join(""));
    else if (clusters.length === 0) await context.err.write('No clusters; "tsctl dev up" makes one\n');
    else {
      const rows = clusters.map((cluster) => [
        cluster.name,
        cluster.state,
        String(cluster.parts.filter((part) => part.kind === "node").length),
        cluster.server,
        cluster.context,
        formatAge(cluster.createdAt, context.clock.now()),
      ]);
      await context.out.write(formatColumns([["NAME", "STATE", "NODES", "SERVER", "CONTEXT", "AGE"], ...rows]));
    }
    return 0;
  },
});

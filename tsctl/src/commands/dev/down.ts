import { downCluster } from "@tessera/deploy";
import { defineCommand, flag } from "../../command.ts";
import { StepProgress } from "../../progress.ts";
import { defaultClusterName, devSettings } from "./dev-settings.ts";

interface DownOptions {
  readonly name: string;
}

export const devDownCommand = defineCommand<DownOptions>({
  name: "dev down",
  summary: "End a development cluster and remove everything of it, its data too",
  examples: `tsctl dev down
tsctl dev down --name other`,
  declare: (command) => command.option("--name <name>", "name of the cluster", defaultClusterName),
  parse: (_words, flags) => ({ name: flag.text(flags["name"]) ?? defaultClusterName }),
  run: async ({ name }, context) => {
    const progress = new StepProgress(context);
    try {
      const existed = await downCluster({ name, signal: context.signal }, devSettings(context.settings), progress);
      progress.end();
      await context.err.write(existed ? `Cluster "${name}" is gone\n` : `There is no cluster "${name}"\n`);
      return 0;
    } catch (error) {
      progress.end();
      throw error;
    }
  },
});

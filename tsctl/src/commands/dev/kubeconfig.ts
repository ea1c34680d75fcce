import { clusterKubeconfig, mergeKubeconfig } from "@tessera/deploy";
import { defineCommand, flag } from "../../command.ts";
import { defaultClusterName, devSettings } from "./dev-settings.ts";

interface KubeconfigOptions {
  readonly name: string;
  readonly merge: boolean;
}

export const devKubeconfigCommand = defineCommand<KubeconfigOptions>({
  name: "dev kubeconfig",
  summary: "Print the kubeconfig of a development cluster, or add it to yours again",
  examples: `tsctl dev kubeconfig > other.kubeconfig
# Make its context the current one of $KUBECONFIG or ~/.kube/config
tsctl dev kubeconfig --name other --merge`,
  declare: (command) =>
    command
      .option("--name <name>", "name of the cluster", defaultClusterName)
      .option("--merge", "into the kubeconfig file, in place of stdout"),
  parse: (_words, flags) => ({ name: flag.text(flags["name"]) ?? defaultClusterName, merge: flag.isSet(flags["merge"]) }),
  run: async ({ name, merge }, context) => {
    const settings = devSettings(context.settings);
    if (merge) await context.err.write(`The current context of ${settings.kubeconfig} is ${await mergeKubeconfig(name, settings)}\n`);
    else await context.out.write(await clusterKubeconfig(name, settings));
    return 0;
  },
});

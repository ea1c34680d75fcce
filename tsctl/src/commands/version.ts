import { TesseraError } from "@tessera/proto";
import { defineCommand, flag } from "../command.ts";

interface VersionOptions {
  readonly clientOnly: boolean;
  readonly json: boolean;
}

interface ServerVersion {
  readonly gitVersion?: string;
}

export const versionCommand = defineCommand<VersionOptions>({
  name: "version",
  summary: "Show the versions of tsctl and of the server",
  examples: `tsctl version
tsctl version --client -o json`,
  declare: (command) => command.option("--client", "of tsctl only").option("-o, --output <format>", '"json"'),
  parse: (_words, flags) => ({ clientOnly: flag.isSet(flags["client"]), json: flags["output"] === "json" }),
  run: async ({ clientOnly, json }, context) => {
    const clientVersion = { version: context.settings.version, node: process.version };
    let serverVersion: ServerVersion | undefined;
    let failure: TesseraError | undefined;
    if (!clientOnly) {
      try {
        serverVersion = await (await context.cluster()).api.request<ServerVersion>("GET", "/version", { signal: context.signal });
      } catch (error) {
        if (!(error instanceof TesseraError)) throw error;
        failure = error;
      }
    }
    if (json) await context.out.write(`${JSON.stringify({ clientVersion, serverVersion }, null, 4)}\n`);
    else
      await context.out.write(
        `tsctl:  ${clientVersion.version}\n${serverVersion === undefined ? "" : `server: ${serverVersion.gitVersion}\n`}`,
      );
    if (failure !== undefined) throw failure;
    return 0;
  },
});

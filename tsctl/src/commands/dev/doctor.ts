import { findLeaks } from "@tessera/deploy";
import { TesseraError } from "@tessera/proto";
import { defineCommand, exitCode, flag } from "../../command.ts";
import { parseDuration } from "../../print/age.ts";
import { formatColumns } from "../../print/columns.ts";
import { devSettings } from "./dev-settings.ts";

interface DoctorOptions {
  readonly name?: string;
  readonly json: boolean;
  readonly deadlineMs: number;
}

export const devDoctorCommand = defineCommand<DoctorOptions>({
  name: "dev doctor",
  summary: "Look for what nothing wants any more: processes, namespaces, links, mounts, cgroups, addresses, files",
  examples: `# Of all clusters; exits ${exitCode.failed} when something leaks
tsctl dev doctor
tsctl dev doctor --name other -o json`,
  declare: (command) =>
    command
      .option("--name <name>", "only of this cluster, and of the machine")
      .option("--timeout <duration>", "how long to look again at what may be a pod on its way", "15s")
      .option("-o, --output <format>", '"json"'),
  parse: (_words, flags) => {
    const timeout = flag.text(flags["timeout"]) ?? "15s";
    const deadlineMs = parseDuration(timeout);
    if (deadlineMs === undefined) throw new TesseraError("BadRequest", `--timeout "${timeout}" is not a duration such as 15s`);
    return { name: flag.text(flags["name"]), json: flags["output"] === "json", deadlineMs };
  },
  run: async ({ name, json, deadlineMs }, context) => {
    const leaks = await findLeaks({ name, deadlineMs, signal: context.signal }, devSettings(context.settings));
    if (json) await context.out.write(`${JSON.stringify(leaks, null, 2)}\n`);
    else if (leaks.length === 0) await context.err.write("Nothing leaks\n");
    else {
      const rows = leaks.map((leak) => [leak.where, leak.kind, leak.podUid || "-", leak.name]);
      await context.out.write(formatColumns([["WHERE", "KIND", "POD UID", "NAME"], ...rows]));
    }
    return leaks.length === 0 ? 0 : exitCode.failed;
  },
});

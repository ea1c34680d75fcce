import { TesseraError } from "@tessera/proto";
import { type ApiResource, apiVersionOf } from "../api/discovery.ts";
import { defineCommand, flag } from "../command.ts";
import { formatColumns } from "../print/columns.ts";

interface ApiResourcesOptions {
  readonly output: string;
  /** Undefined: both. */
  readonly namespaced?: boolean;
  readonly group?: string;
  readonly verbs: readonly string[];
  readonly noHeaders: boolean;
}

export const apiResourcesCommand = defineCommand<ApiResourcesOptions>({
  name: "api-resources",
  summary: "Show the types of objects that the server has",
  examples: `tsctl api-resources
# What can be listed in a namespace, for a script
tsctl api-resources --namespaced=true --verbs=list -o name`,
  declare: (command) =>
    command
      .option("-o, --output <format>", '"wide" (with verbs and categories), "name" or "json"')
      .option("--namespaced <boolean>", "only types with (true) or without (false) a namespace")
      .option("--api-group <group>", 'only types of this group; "" is the core')
      .option("--verbs <verbs>", "only types that have all these verbs, such as list,watch")
      .option("--no-headers", "rows only"),
  parse: (_words, flags) => {
    const output = flag.text(flags["output"]) ?? "";
    if (!["", "wide", "name", "json"].includes(output))
      throw new TesseraError("BadRequest", `-o "${output}" is not known here; there are wide, name and json`);
    const namespaced = flag.text(flags["namespaced"]);
    if (namespaced !== undefined && !["true", "false"].includes(namespaced))
      throw new TesseraError("BadRequest", `--namespaced=${namespaced} is neither true nor false`);
    return {
      output,
      namespaced: namespaced === undefined ? undefined : namespaced === "true",
      group: flag.text(flags["apiGroup"]),
      verbs: (flag.text(flags["verbs"]) ?? "").split(",").filter(Boolean),
      noHeaders: flags["headers"] === false,
    };
  },
  run: async (options, context) => {
    const discovery = await (await context.cluster()).discovery();
    const resources = discovery.resources
      .filter((resource) => options.namespaced === undefined || resource.namespaced === options.namespaced)
      .filter((resource) => options.group === undefined || resource.group === options.group)
      .filter((resource) => options.verbs.every((verb) => resource.verbs.includes(verb)))
      .sort((one, other) => one.group.localeCompare(other.group) || one.plural.localeCompare(other.plural));
    await context.out.write(format(resources, options));
    return 0;
  },
});

function format(resources: readonly ApiResource[], { output, noHeaders }: ApiResourcesOptions): string {
  if (output === "json") return `${JSON.stringify(resources, null, 4)}\n`;
  if (output === "name") return resources.map(({ plural, group }) => `${plural}${group === "" ? "" : `.${group}`}\n`).join("");
  const wide = output === "wide";
  const header = ["NAME", "SHORTNAMES", "APIVERSION", "NAMESPACED", "KIND", ...(wide ? ["VERBS", "CATEGORIES"] : [])];
  const rows = resources.map((resource) => [
    resource.plural,
    resource.shortNames.join(","),
    apiVersionOf(resource),
    String(resource.namespaced),
    resource.kind,
    ...(wide ? [resource.verbs.join(","), resource.categories.join(",")] : []),
  ]);
  return formatColumns(noHeaders ? rows : [header, ...rows]);
}

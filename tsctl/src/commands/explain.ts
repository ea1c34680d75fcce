import { suggest, TesseraError } from "@tessera/proto";
import { apiVersionOf } from "../api/discovery.ts";
import { defineCommand, flag } from "../command.ts";
import { OpenApi, type Schema } from "../explain/open-api.ts";

interface ExplainOptions {
  readonly type: string;
  /** Names of fields, from the object inwards. */
  readonly path: readonly string[];
  readonly recursive: boolean;
}

const defaultWidth = 100;

export const explainCommand = defineCommand<ExplainOptions>({
  name: "explain",
  summary: "Tell what a type or a field means",
  examples: `tsctl explain pod
tsctl explain pod.spec.containers.imagePullPolicy
# Only the names, all the way down
tsctl explain pod.spec --recursive`,
  declare: (command) =>
    command.argument("<field>", "TYPE or TYPE.FIELD.FIELD...").option("--recursive", "the fields of fields, without words"),
  parse: ([field = ""], flags) => {
    const [type = "", ...path] = field.split(".").map((name) => name.replace(/\[.*\]$/, ""));
    return { type, path, recursive: flag.isSet(flags["recursive"]) };
  },
  validate: ({ path }) => (path.includes("") ? ["a field has no empty name: leave out the dot at the end"] : []),
  run: async ({ type, path, recursive }, context) => {
    const cluster = await context.cluster();
    const resource = (await cluster.discovery()).find(type);
    const openApi = await OpenApi.read(cluster.api, resource, context.signal);
    const { schema, element, isRequired } = walk(openApi, openApi.ofKind(resource), path, resource.kind);
    const width = Math.max(40, context.out.columns ?? defaultWidth);
    const head = [
      ...(resource.group === "" ? [] : [`GROUP:      ${resource.group}`]),
      `KIND:       ${resource.kind}`,
      `VERSION:    ${resource.version}`,
      "",
      ...(path.length === 0 ? [] : [`FIELD: ${path.at(-1)} <${openApi.typeName(schema)}>${isRequired ? " -required-" : ""}`, ""]),
    ];
    const description = wrap(schema.description ?? element.description ?? "<no description>", width - 4, "    ");
    const details =
      element.description !== undefined && schema.description !== undefined && element !== schema && path.length > 0
        ? ["", ...wrap(element.description, width - 4, "    ")]
        : [];
    const lines = [
      ...head,
      "DESCRIPTION:",
      ...description,
      ...details,
      ...limits(schema),
      "",
      ...fields(openApi, element, { recursive, width }),
    ];
    await context.out.write(`${lines.join("\n").trimEnd()}\n`);
    if (context.out.isTerminal && path.length === 0)
      await context.err.write(`\n(${apiVersionOf(resource)}; "tsctl explain ${type}.FIELD" tells more of a field)\n`);
    return 0;
  },
});

function walk(
  openApi: OpenApi,
  root: Schema,
  path: readonly string[],
  kind: string,
): { schema: Schema; element: Schema; isRequired: boolean } {
  let schema = root;
  let element = openApi.element(root);
  let isRequired = false;
  let walked = kind.toLowerCase();
  for (const name of path) {
    const next = element.properties?.[name];
    if (next === undefined) throw noField(name, walked, Object.keys(element.properties ?? {}));
    isRequired = element.required?.includes(name) ?? false;
    walked += `.${name}`;
    schema = next;
    element = openApi.element(next);
  }
  return { schema, element, isRequired };
}

function noField(name: string, of: string, known: readonly string[]): TesseraError {
  if (known.length === 0) return new TesseraError("NotFound", `${of} has no fields of its own, so there is no "${name}"`);
  const meant = suggest(name, known);
  return new TesseraError("NotFound", `${of} has no field "${name}"${meant === undefined ? "" : `, did you mean ${meant}?`}`);
}

function limits(schema: Schema): string[] {
  const lines: string[] = [];
  if (schema.enum !== undefined) lines.push(`    Possible values: ${schema.enum.map(String).join(", ")}`);
  if (schema.default !== undefined)
    lines.push(`    Default: ${typeof schema.default === "string" ? schema.default : JSON.stringify(schema.default)}`);
  return lines.length === 0 ? [] : ["", ...lines];
}

function fields(openApi: OpenApi, schema: Schema, options: { recursive: boolean; width: number }): string[] {
  const names = Object.keys(schema.properties ?? {}).sort();
  if (names.length === 0) return [];
  return [
    "FIELDS:",
    ...(options.recursive ? tree(openApi, schema, "  ", []) : names.flatMap((name) => oneField(openApi, schema, name, options.width))),
  ];
}

function oneField(openApi: OpenApi, schema: Schema, name: string, width: number): string[] {
  const field = schema.properties?.[name] ?? {};
  const description = field.description ?? openApi.resolve(field).description ?? "";
  return [`  ${title(openApi, schema, name)}`, ...wrap(description, width - 6, "      "), ""];
}

function title(openApi: OpenApi, schema: Schema, name: string): string {
  return `${name}\t<${openApi.typeName(schema.properties?.[name] ?? {})}>${schema.required?.includes(name) ? " -required-" : ""}`;
}

/** Stops at a schema that is inside itself. */
function tree(openApi: OpenApi, schema: Schema, indent: string, above: readonly Schema[]): string[] {
  if (above.includes(schema)) return [];
  return Object.keys(schema.properties ?? {})
    .sort()
    .flatMap((name) => [
      `${indent}${title(openApi, schema, name)}`,
      ...tree(openApi, openApi.element(schema.properties?.[name] ?? {}), `${indent}  `, [...above, schema]),
    ]);
}

function wrap(text: string, width: number, indent: string): string[] {
  return text.split("\n").flatMap((paragraph) => {
    const lines: string[] = [];
    let line = "";
    for (const word of paragraph.split(/\s+/).filter(Boolean)) {
      if (line !== "" && line.length + 1 + word.length > width) {
        lines.push(line);
        line = word;
      } else line = line === "" ? word : `${line} ${word}`;
    }
    lines.push(line);
    return lines.map((each) => (each === "" ? "" : indent + each));
  });
}

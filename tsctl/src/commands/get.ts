import { isCancellation, TesseraError } from "@tessera/proto";
import type { ApiList, ApiObject, Query } from "../api/api.ts";
import { type ApiResource, apiVersionOf, displayName, pathOf } from "../api/discovery.ts";
import { watchFrom } from "../api/watch.ts";
import { type ClusterContext, type CommandContext, defineCommand, flag } from "../command.ts";
import { type Format, formatValue, parseFormat } from "../print/format.ts";
import { type Table, TablePrinter, tableAccept } from "../print/table.ts";
import { parseTargetWords, resolveTargets, type Target, type TargetWords } from "../targets.ts";

interface GetOptions {
  readonly words: TargetWords;
  readonly format: Format;
  readonly watch: boolean;
  readonly watchOnly: boolean;
  readonly allNamespaces: boolean;
  readonly selector?: string;
  readonly fieldSelector?: string;
  readonly showLabels: boolean;
  readonly noHeaders: boolean;
  readonly ignoreNotFound: boolean;
}

export const getCommand = defineCommand<GetOptions>({
  name: "get",
  summary: "Show objects",
  examples: `# All pods of the namespace, and where they run
tsctl get pods -o wide
# Pods and nodes of the whole cluster
tsctl get pods,nodes -A
# Follow what becomes of one pod
tsctl get pod/hello -w
# One value, for a script
tsctl get pod hello -o jsonpath='{.status.podIP}'`,
  declare: (command) =>
    command
      .argument("[type...]", "TYPE, TYPE NAME..., TYPE,TYPE or TYPE/NAME...")
      .option("-o, --output <format>", "wide, yaml, json, name or jsonpath=TEMPLATE")
      .option("-w, --watch", "go on and show every change")
      .option("--watch-only", "show changes, but not what is there already")
      .option("-A, --all-namespaces", "objects of all namespaces")
      .option("-l, --selector <labels>", "only objects with these labels, such as app=web,tier!=cache")
      .option("--field-selector <fields>", "only objects with these fields, such as status.phase=Running")
      .option("--show-labels", "a column with the labels")
      .option("--no-headers", "rows only")
      .option("--ignore-not-found", "a named object that does not exist is no error"),
  parse: (words, flags) => ({
    words: parseTargetWords(words, "get"),
    format: parseFormat(flag.text(flags["output"])),
    watch: flag.isSet(flags["watch"]) || flag.isSet(flags["watchOnly"]),
    watchOnly: flag.isSet(flags["watchOnly"]),
    allNamespaces: flag.isSet(flags["allNamespaces"]),
    selector: flag.text(flags["selector"]),
    fieldSelector: flag.text(flags["fieldSelector"]),
    showLabels: flag.isSet(flags["showLabels"]),
    noHeaders: flags["headers"] === false,
    ignoreNotFound: flag.isSet(flags["ignoreNotFound"]),
  }),
  validate: (options) => {
    const faults: string[] = [];
    const named = options.words.form === "pairs" || options.words.names.length > 0;
    if (named && options.allNamespaces) faults.push("a named object is in one namespace: leave -A out, or the name");
    if (named && (options.selector ?? options.fieldSelector) !== undefined)
      faults.push("a selector chooses among all objects: leave it out, or the name");
    if (options.watch && options.words.form === "types" && options.words.types.length > 1) faults.push("-w follows one type at a time");
    if (options.watch && options.words.form === "pairs" && options.words.pairs.length > 1)
      faults.push("-w follows one object, or all of a type");
    if (options.watch && options.words.form === "types" && options.words.names.length > 1)
      faults.push("-w follows one object, or all of a type");
    return faults;
  },
  run: async (options, context) => {
    const cluster = await context.cluster();
    const targets = resolveTargets(options.words, await cluster.discovery());
    const [only] = targets;
    if (options.watch && only !== undefined) return await watchTarget(only, options, cluster, context);
    return options.format.as === "table"
      ? await showTables(targets, options, cluster, context)
      : await showObjects(targets, options, cluster, context);
  },
});

function pathFor(target: Target, options: GetOptions, cluster: ClusterContext): string {
  return pathOf(target.resource, options.allNamespaces ? undefined : cluster.namespace, target.name);
}

function queryFor(options: GetOptions): Query {
  return { labelSelector: options.selector, fieldSelector: options.fieldSelector };
}

/** Consecutive targets of one resource make one table. */
function groupByResource(targets: readonly Target[]): { resource: ApiResource; targets: Target[] }[] {
  const groups: { resource: ApiResource; targets: Target[] }[] = [];
  for (const target of targets) {
    const last = groups.at(-1);
    if (last?.resource === target.resource) last.targets.push(target);
    else groups.push({ resource: target.resource, targets: [target] });
  }
  return groups;
}

async function showTables(
  targets: readonly Target[],
  options: GetOptions,
  cluster: ClusterContext,
  context: CommandContext,
): Promise<number> {
  const groups = groupByResource(targets);
  let shown = 0;
  let code = 0;
  for (const group of groups) {
    const printer = new TablePrinter(tableOptions(group.resource, options, groups.length > 1));
    const before = shown > 0 ? "\n" : "";
    let text = "";
    for (const target of group.targets) {
      const table = await fetchTable(target, options, cluster, context).catch(async (error) => {
        // The others are shown all the same.
        code = await tellMissing(error, options, context);
        return undefined;
      });
      if (table !== undefined) text += printer.format(table);
    }
    if (text === "") continue;
    shown++;
    await context.out.write(before + text);
  }
  if (shown === 0 && code === 0 && !options.ignoreNotFound) await context.err.write(nothingFound(targets, options, cluster));
  return code;
}

async function tellMissing(error: unknown, options: GetOptions, context: CommandContext): Promise<number> {
  if (!(error instanceof TesseraError) || error.reason !== "NotFound") throw error;
  if (options.ignoreNotFound) return 0;
  await context.err.write(`error: ${error.message}\n`);
  return 1;
}

function nothingFound(targets: readonly Target[], options: GetOptions, cluster: ClusterContext): string {
  const namespaced = targets.some((target) => target.resource.namespaced) && !options.allNamespaces;
  const what = [...new Set(targets.map((target) => target.resource.plural))].join(", ");
  return namespaced ? `No ${what} in namespace "${cluster.namespace}" (-A shows all namespaces)\n` : `No ${what}\n`;
}

function tableOptions(resource: ApiResource, options: GetOptions, several: boolean) {
  return {
    wide: options.format.as === "table" && options.format.wide,
    showNamespace: options.allNamespaces && resource.namespaced,
    showLabels: options.showLabels,
    showHeaders: !options.noHeaders,
    prefix: several ? `${displayName(resource)}/` : undefined,
  };
}

async function fetchTable(target: Target, options: GetOptions, cluster: ClusterContext, context: CommandContext): Promise<Table> {
  const query = target.name === undefined ? queryFor(options) : undefined;
  const answer = await cluster.api.request<Table & ApiList>("GET", pathFor(target, options, cluster), {
    accept: tableAccept,
    query,
    signal: context.signal,
  });
  return answer.kind === "Table" ? answer : plainTable(answer);
}

/** For servers that make no Tables of a type. */
function plainTable(answer: ApiList | ApiObject): Table {
  const objects = Array.isArray((answer as ApiList).items) ? ((answer as ApiList).items ?? []) : [answer as ApiObject];
  return {
    columnDefinitions: [{ name: "Name" }, { name: "Created At" }],
    rows: objects.map((object) => ({ cells: [object.metadata?.name, object.metadata?.creationTimestamp], object })),
  };
}

async function showObjects(
  targets: readonly Target[],
  options: GetOptions,
  cluster: ClusterContext,
  context: CommandContext,
): Promise<number> {
  if (options.format.as === "table") return 0;
  const found: ApiObject[] = [];
  let code = 0;
  for (const target of targets) {
    const objects = await fetchObjects(target, options, cluster, context).catch(async (error) => {
      code = await tellMissing(error, options, context);
      return [];
    });
    found.push(...objects);
  }
  const [only] = found;
  const isSingle = targets.length === 1 && targets[0]?.name !== undefined;
  if (isSingle && only === undefined) return code;
  const value = isSingle ? only : { apiVersion: "v1", kind: "List", metadata: { resourceVersion: "" }, items: found };
  await context.out.write(formatValue(value, options.format));
  return code;
}

async function fetchObjects(target: Target, options: GetOptions, cluster: ClusterContext, context: CommandContext): Promise<ApiObject[]> {
  const path = pathFor(target, options, cluster);
  if (target.name !== undefined) return [await cluster.api.request<ApiObject>("GET", path, { signal: context.signal })];
  const list = await cluster.api.request<ApiList>("GET", path, { query: queryFor(options), signal: context.signal });
  // Items of a list do not say what they are.
  const { resource } = target;
  return (list.items ?? []).map((item) => ({ apiVersion: apiVersionOf(resource), kind: resource.kind, ...item }));
}

async function watchTarget(target: Target, options: GetOptions, cluster: ClusterContext, context: CommandContext): Promise<number> {
  const path = pathOf(target.resource, options.allNamespaces ? undefined : cluster.namespace);
  const fieldSelector =
    [options.fieldSelector, target.name === undefined ? undefined : `metadata.name=${target.name}`].filter(Boolean).join(",") || undefined;
  const query = { labelSelector: options.selector, fieldSelector };
  const { format } = options;
  const printer = new TablePrinter(tableOptions(target.resource, options, false));
  const accept = format.as === "table" ? tableAccept : undefined;
  const show = async (value: unknown) =>
    await context.out.write(format.as === "table" ? printer.format(value as Table) : separated(value, format));
  try {
    // A named object that is not there is told at once.
    if (target.name !== undefined) await cluster.api.request("GET", pathFor(target, options, cluster), { signal: context.signal });
    const list = await cluster.api.request<Table & ApiList>("GET", path, { query, accept, signal: context.signal });
    if (!options.watchOnly) for (const value of list.kind === "Table" ? [list] : (list.items ?? [])) await show(value);
    const version = list.metadata?.resourceVersion;
    for await (const event of watchFrom(cluster.api, path, query, version, { accept, signal: context.signal })) await show(event.object);
    return 0;
  } catch (error) {
    // Ctrl-C is how one ends this.
    if (isCancellation(error)) return 0;
    throw error;
  }
}

function separated(value: unknown, format: Exclude<Format, { as: "table" }>): string {
  return format.as === "yaml" ? `---\n${formatValue(value, format)}` : formatValue(value, format);
}

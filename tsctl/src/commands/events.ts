import { type Event, isCancellation, TesseraError } from "@tessera/proto";
import type { ApiList } from "../api/api.ts";
import { watchFrom } from "../api/watch.ts";
import { type CommandContext, defineCommand, flag } from "../command.ts";
import { describeAge, lastTime } from "../describe/events.ts";
import { formatColumns } from "../print/columns.ts";
import { type Format, formatValue, parseFormat } from "../print/format.ts";

interface EventsOptions {
  /** "pod/hello" */
  readonly subject?: { readonly type: string; readonly name: string };
  readonly types: readonly string[];
  readonly allNamespaces: boolean;
  readonly watch: boolean;
  readonly noHeaders: boolean;
  readonly format: Format;
}

export const eventsCommand = defineCommand<EventsOptions>({
  name: "events",
  summary: "Show what happened, the latest last",
  examples: `# In the namespace, and on
tsctl events -w
# Of one pod
tsctl events --for pod/hello
# What went wrong anywhere
tsctl events -A --types=Warning`,
  declare: (command) =>
    command
      .option("--for <object>", "only of this one: TYPE/NAME")
      .option("--types <types>", "only of these types, such as Warning")
      .option("-A, --all-namespaces", "of all namespaces")
      .option("-w, --watch", "go on with what comes")
      .option("--no-headers", "rows only")
      .option("-o, --output <format>", "json, yaml, name or jsonpath=TEMPLATE"),
  parse: (_words, flags) => {
    const subject = flag.text(flags["for"]);
    const [type, name, more] = (subject ?? "").split("/");
    if (subject !== undefined && (!type || !name || more !== undefined))
      throw new TesseraError("BadRequest", `--for "${subject}" is not TYPE/NAME, such as pod/hello`);
    return {
      subject: type && name ? { type, name } : undefined,
      types: (flag.text(flags["types"]) ?? "").split(",").filter(Boolean),
      allNamespaces: flag.isSet(flags["allNamespaces"]),
      watch: flag.isSet(flags["watch"]),
      noHeaders: flags["headers"] === false,
      format: parseFormat(flag.text(flags["output"])),
    };
  },
  validate: ({ watch, format }) => (watch && format.as !== "table" ? ['-w with -o: use "tsctl get events -w -o ..."'] : []),
  run: async (options, context) => {
    const cluster = await context.cluster();
    const path = options.allNamespaces ? "/api/v1/events" : `/api/v1/namespaces/${encodeURIComponent(cluster.namespace)}/events`;
    const kind = options.subject === undefined ? undefined : (await cluster.discovery()).find(options.subject.type).kind;
    const fieldSelector = kind === undefined ? undefined : `involvedObject.kind=${kind},involvedObject.name=${options.subject?.name}`;
    const list = await cluster.api.request<ApiList<Event>>("GET", path, { query: { fieldSelector }, signal: context.signal });
    const isShown = (event: Event) =>
      options.types.length === 0 || options.types.some((type) => type.toLowerCase() === event.type?.toLowerCase());
    const events = (list.items ?? []).filter(isShown).sort((one, other) => Date.parse(lastTime(one)) - Date.parse(lastTime(other)));
    if (options.format.as !== "table") {
      const items = events.map((event) => ({ apiVersion: "v1", kind: "Event", ...event }));
      await context.out.write(formatValue({ apiVersion: "v1", kind: "List", metadata: {}, items }, options.format));
      return 0;
    }
    await show(events, options, context, !options.noHeaders);
    if (!options.watch) return 0;
    try {
      const changes = watchFrom<Event>(cluster.api, path, { fieldSelector }, list.metadata?.resourceVersion, { signal: context.signal });
      for await (const { type, object } of changes)
        if (type !== "DELETED" && isShown(object)) await show([object], options, context, false);
    } catch (error) {
      if (!isCancellation(error)) throw error;
    }
    return 0;
  },
});

async function show(events: readonly Event[], options: EventsOptions, context: CommandContext, withHeader: boolean): Promise<void> {
  if (events.length === 0 && withHeader) {
    await context.err.write("No events\n");
    return;
  }
  const now = context.clock.now();
  const rows = events.map((event) => [
    ...(options.allNamespaces ? [event.metadata?.namespace ?? ""] : []),
    describeAge(event, now),
    event.type ?? "",
    event.reason ?? "",
    `${event.involvedObject?.kind?.toLowerCase() ?? ""}/${event.involvedObject?.name ?? ""}`,
    event.message ?? "",
  ]);
  const header = [...(options.allNamespaces ? ["NAMESPACE"] : []), "LAST SEEN", "TYPE", "REASON", "OBJECT", "MESSAGE"];
  await context.out.write(formatColumns(withHeader ? [header, ...rows] : rows));
}

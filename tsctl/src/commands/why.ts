import { type Pod, TesseraError } from "@tessera/proto";
import type { ApiObject } from "../api/api.ts";
import { readLines } from "../api/watch.ts";
import { type ClusterContext, type CommandContext, defineCommand, flag } from "../command.ts";
import { readEvents } from "../describe/events.ts";
import { formatStory } from "../why/format-story.ts";
import { type Reference, requiredReferences } from "../why/references.ts";
import { type Scheduling, type Story, tellStory } from "../why/story.ts";

interface WhyOptions {
  readonly pod: string;
  readonly tail: number;
  readonly json: boolean;
}

export const whyCommand = defineCommand<WhyOptions>({
  name: "why",
  summary: "Tell why a pod is not as it should be",
  examples: `# What waits for what, how it ended, and what to do
tsctl why pod/hello
# With more of its log
tsctl why pod hello --tail 50`,
  declare: (command) =>
    command
      .argument("[pod...]", "pod/NAME, pod NAME or NAME")
      .option("--tail <lines>", "so many last lines of the log of what crashed", "10")
      .option("-o, --output <format>", '"json"'),
  parse: (words, flags) => {
    const [first = "", second] =
      words.length > 1 ? words : (words[0] ?? "").split("/").length > 1 ? (words[0] ?? "").split("/") : ["pod", words[0]];
    if (!["pod", "pods", "po"].includes(first) || words.length > 2)
      throw new TesseraError("BadRequest", `why is for one pod: tsctl why pod/NAME, not ${words.join(" ")}`);
    const tail = flag.text(flags["tail"]) ?? "";
    if (!/^\d+$/.test(tail)) throw new TesseraError("BadRequest", `--tail "${tail}" is not a number of lines`);
    return { pod: second ?? "", tail: Number(tail), json: flags["output"] === "json" };
  },
  validate: ({ pod }) => (pod === "" ? ["say which pod: tsctl why pod/NAME"] : []),
  run: async ({ pod: name, tail, json }, context) => {
    const cluster = await context.cluster();
    const story = await collect(name, cluster, context);
    const exits = await Promise.all(
      story.exits.map(async (exit) => ({ ...exit, log: await lastLines(story, exit, tail, cluster, context) })),
    );
    const full = { ...story, exits };
    await context.out.write(json ? `${JSON.stringify(full, null, 4)}\n` : formatStory(full));
    return 0;
  },
});

const podPath = (namespace: string, name: string) => `/api/v1/namespaces/${encodeURIComponent(namespace)}/pods/${encodeURIComponent(name)}`;

async function collect(name: string, cluster: ClusterContext, context: CommandContext): Promise<Story> {
  const { api, namespace } = cluster;
  const { signal } = context;
  const path = podPath(namespace, name);
  const pod = await api.request<Pod>("GET", path, { signal });
  const started = (pod.status?.containerStatuses ?? []).every(({ state }) => state?.waiting === undefined);
  const [scheduling, events, missing] = await Promise.all([
    pod.spec?.nodeName ? undefined : orAbsent(api.request<{ status: Scheduling }>("GET", `${path}/scheduling`, { signal })),
    readEvents(api, { kind: "Pod", ...pod } as ApiObject, namespace, signal),
    started && pod.status?.phase !== "Pending" ? [] : findMissing(requiredReferences(pod), cluster, context),
  ]);
  return tellStory({ pod, scheduling: scheduling?.status, events, missing, now: context.clock.now() });
}

/** Undefined for what another server does not serve, or is not there. */
async function orAbsent<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof TesseraError && (error.reason === "NotFound" || error.reason === "MethodNotAllowed")) return undefined;
    throw error;
  }
}

async function findMissing(references: readonly Reference[], cluster: ClusterContext, context: CommandContext): Promise<Reference[]> {
  const objects = new Map<string, Promise<ApiObject | undefined>>();
  const read = ({ kind, name }: Reference) => {
    const plural = kind === "Secret" ? "secrets" : "configmaps";
    const path = `/api/v1/namespaces/${encodeURIComponent(cluster.namespace)}/${plural}/${encodeURIComponent(name)}`;
    const known = objects.get(path) ?? orAbsent(cluster.api.request<ApiObject>("GET", path, { signal: context.signal }));
    objects.set(path, known);
    return known;
  };
  const checked = await Promise.all(
    references.map(async (reference) => {
      const object = await read(reference);
      // Whole, so that one missing object is not told once for each of its keys.
      if (object === undefined) return { kind: reference.kind, name: reference.name, wantedBy: reference.wantedBy };
      const has = (field: "data" | "binaryData") => Object.hasOwn((object[field] ?? {}) as object, reference.key ?? "");
      return reference.key === undefined || has("data") || has("binaryData") ? undefined : reference;
    }),
  );
  const missing = new Map(checked.flatMap((each) => (each === undefined ? [] : [[JSON.stringify(each), each] as const])));
  return [...missing.values()];
}

/** Undefined when the log cannot be read: the story is worth telling without it. */
async function lastLines(
  story: Story,
  { container, previous }: Story["exits"][number],
  tailLines: number,
  { api }: ClusterContext,
  { signal }: CommandContext,
): Promise<readonly string[] | undefined> {
  if (tailLines === 0) return undefined;
  const { name, namespace } = story.metadata;
  const query = { container, tailLines, previous: previous || undefined };
  try {
    const lines: string[] = [];
    const stream = await api.open("GET", `${podPath(namespace, name)}/log`, { query, accept: "*/*", signal });
    for await (const line of readLines(stream)) lines.push(line);
    return lines;
  } catch (error) {
    if (error instanceof TesseraError) return undefined;
    throw error;
  }
}

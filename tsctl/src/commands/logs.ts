import { Readable } from "node:stream";
import { isCancellation, type Pod, TesseraError } from "@tessera/proto";
import type { ApiList } from "../api/api.ts";
import { readLines } from "../api/watch.ts";
import { type ClusterContext, type CommandContext, defineCommand, flag } from "../command.ts";
import { followLog } from "../logs/followed-log.ts";
import { parseDuration } from "../print/age.ts";

interface LogsOptions {
  /** "hello" or "pod/hello". */
  readonly pod?: string;
  readonly container?: string;
  readonly selector?: string;
  readonly follow: boolean;
  readonly previous: boolean;
  readonly timestamps: boolean;
  readonly allContainers: boolean;
  readonly prefix: boolean;
  readonly tailLines?: number;
  readonly sinceSeconds?: number;
  readonly sinceTime?: string;
  readonly limitBytes?: number;
  /** How many logs may be followed at once. */
  readonly maxRequests: number;
  readonly ignoreErrors: boolean;
}

/** One container's log. */
interface Source {
  readonly pod: string;
  readonly container: string;
}

export const logsCommand = defineCommand<LogsOptions>({
  name: "logs",
  summary: "Show what containers printed",
  examples: `# Everything so far, then what comes
tsctl logs -f hello
# Why did it crash?
tsctl logs --previous hello
# The last lines of all containers of some pods
tsctl logs -l app=web --all-containers --tail=20`,
  declare: (command) =>
    command
      .argument("[pod]", "name of the pod")
      .argument("[container]", "name of the container, like -c")
      .option("-c, --container <name>", "which container; not needed when there is one")
      .option("-f, --follow", "go on with what comes")
      .option("-p, --previous", "of the container's run before the present one")
      .option("--tail <lines>", "only so many of the last lines; -1: all")
      .option("--since <duration>", "only what is not older than this, such as 10s or 2h")
      .option("--since-time <time>", "only what is not older than this RFC 3339 time")
      .option("--timestamps", "each line with its time")
      .option("--limit-bytes <bytes>", "stop after so many bytes")
      .option("--all-containers", "of all containers of the pod")
      .option("--prefix", "each line with its pod and container")
      .option("-l, --selector <labels>", "of all pods with these labels")
      .option("--max-log-requests <count>", "with -f: how many logs may be followed at once", "5")
      .option("--ignore-errors", "a log that cannot be read does not keep from the others"),
  parse: (words, flags) => {
    const [pod, container] = words;
    const since = flag.text(flags["since"]);
    const sinceMs = since === undefined ? undefined : parseDuration(since);
    if (since !== undefined && sinceMs === undefined)
      throw new TesseraError("BadRequest", `--since "${since}" is not a duration such as 10s or 2h`);
    const tail = parseCount(flag.text(flags["tail"]), "--tail");
    const isMany = flag.text(flags["selector"]) !== undefined;
    return {
      pod: pod?.replace(/^pods?\//, ""),
      container: flag.text(flags["container"]) ?? container,
      selector: flag.text(flags["selector"]),
      follow: flag.isSet(flags["follow"]),
      previous: flag.isSet(flags["previous"]),
      timestamps: flag.isSet(flags["timestamps"]),
      allContainers: flag.isSet(flags["allContainers"]),
      prefix: flag.isSet(flags["prefix"]),
      tailLines: tail !== undefined && tail < 0 ? undefined : (tail ?? (isMany ? 10 : undefined)),
      sinceSeconds: sinceMs === undefined ? undefined : Math.max(1, Math.ceil(sinceMs / 1000)),
      sinceTime: flag.text(flags["sinceTime"]),
      maxRequests: parseCount(flag.text(flags["maxLogRequests"]), "--max-log-requests") ?? 5,
      ignoreErrors: flag.isSet(flags["ignoreErrors"]),
      limitBytes: parseCount(flag.text(flags["limitBytes"]), "--limit-bytes"),
    };
  },
  validate: ({ pod, selector, container, allContainers, sinceSeconds, sinceTime, follow, previous, maxRequests }) => [
    ...(maxRequests < 1 ? ["--max-log-requests must be greater than 0"] : []),
    ...(pod === undefined && selector === undefined ? ["say whose: tsctl logs POD, or -l LABELS"] : []),
    ...(pod !== undefined && selector !== undefined ? ["give either a pod or -l, not both"] : []),
    ...(pod?.includes("/") ? [`"${pod}" is no pod: logs are kept for pods`] : []),
    ...(container !== undefined && allContainers ? ["give either a container or --all-containers, not both"] : []),
    ...(sinceSeconds !== undefined && sinceTime !== undefined ? ["give either --since or --since-time, not both"] : []),
    ...(follow && previous ? ["a run that is over has nothing to follow: leave -f or --previous out"] : []),
  ],
  run: async (options, context) => {
    const cluster = await context.cluster();
    const sources = await findSources(options, cluster, context);
    if (sources.length === 0) {
      await context.err.write(`No pods with the labels ${options.selector} in namespace "${cluster.namespace}"\n`);
      return 0;
    }
    if (options.follow && sources.length > options.maxRequests) {
      const limit = `maximum allowed concurrency is ${options.maxRequests}`;
      const message = `you are attempting to follow ${sources.length} log streams, but ${limit}, use --max-log-requests to increase the limit`;
      throw new TesseraError("BadRequest", message);
    }
    const [only] = sources;
    try {
      if (sources.length === 1 && only !== undefined && !options.prefix) await showRaw(only, options, cluster, context);
      // A followed log never ends by itself, so several are shown at once.
      else if (options.follow) await Promise.all(sources.map(async (source) => await showLines(source, options, cluster, context)));
      else for (const source of sources) await showLines(source, options, cluster, context);
      return 0;
    } catch (error) {
      if (isCancellation(error)) return 130;
      throw error;
    }
  },
});

function parseCount(text: string | undefined, name: string): number | undefined {
  if (text === undefined) return undefined;
  if (/^-?\d+$/.test(text)) return Number(text);
  throw new TesseraError("BadRequest", `${name} "${text}" is not a number`);
}

async function findSources(options: LogsOptions, cluster: ClusterContext, context: CommandContext): Promise<Source[]> {
  const root = `/api/v1/namespaces/${encodeURIComponent(cluster.namespace)}/pods`;
  if (options.selector !== undefined) {
    const list = await cluster.api.request<ApiList<Pod>>("GET", root, {
      query: { labelSelector: options.selector },
      signal: context.signal,
    });
    return (list.items ?? []).flatMap((pod) => {
      const containers = containersOf(pod, options);
      const shown = options.allContainers || options.container !== undefined ? containers : [preferredOf(pod, containers)];
      return shown.map((container) => ({ pod: pod.metadata?.name ?? "", container }));
    });
  }
  const pod = options.pod ?? "";
  if (options.container !== undefined) return [{ pod, container: options.container }];
  const object = await cluster.api.request<Pod>("GET", `${root}/${encodeURIComponent(pod)}`, { signal: context.signal });
  const containers = containersOf(object, options);
  if (options.allContainers || containers.length === 1) return containers.map((container) => ({ pod, container }));
  const container = preferredOf(object, containers);
  await context.err.write(`Of the containers ${containers.join(", ")} this is ${container}; -c chooses another one\n`);
  return [{ pod, container }];
}

/** The one that the pod's annotation names, or the first. */
function preferredOf(pod: Pod, [first = "", ...others]: readonly string[]): string {
  const preferred = pod.metadata?.annotations?.["kubectl.kubernetes.io/default-container"];
  return preferred !== undefined && others.includes(preferred) ? preferred : first;
}

function containersOf(pod: Pod, options: LogsOptions): string[] {
  const { initContainers = [], containers = [], ephemeralContainers = [] } = pod.spec ?? {};
  const all = options.allContainers ? [...initContainers, ...containers, ...ephemeralContainers] : containers;
  const names = all.map((each) => each.name ?? "");
  return options.container === undefined ? names : names.filter((name) => name === options.container);
}

async function openLog(source: Source, options: LogsOptions, cluster: ClusterContext, context: CommandContext) {
  const path = `/api/v1/namespaces/${encodeURIComponent(cluster.namespace)}/pods/${encodeURIComponent(source.pod)}/log`;
  const query = {
    container: source.container,
    follow: options.follow || undefined,
    previous: options.previous || undefined,
    timestamps: options.timestamps || undefined,
    tailLines: options.tailLines,
    sinceSeconds: options.sinceSeconds,
    sinceTime: options.sinceTime,
    limitBytes: options.limitBytes,
  };
  return await cluster.api.open("GET", path, { query, accept: "*/*", signal: context.signal });
}

/** The log as it comes; one that is followed to its end, or until the user has enough of it. */
async function readLog(
  source: Source,
  options: LogsOptions,
  cluster: ClusterContext,
  context: CommandContext,
): Promise<AsyncIterable<Buffer>> {
  if (!options.follow || options.limitBytes !== undefined) return await openLog(source, options, cluster, context);
  const path = `/api/v1/namespaces/${encodeURIComponent(cluster.namespace)}/pods/${encodeURIComponent(source.pod)}`;
  return followLog({
    timestamps: options.timestamps,
    container: source.container,
    signal: context.signal,
    readPod: () => cluster.api.request<Pod>("GET", path, { signal: context.signal }),
    say: (text) => context.err.write(`${source.pod}/${source.container}: ${text}`),
    open: ({ sinceTime, previous = false }) => {
      const from = sinceTime === undefined ? options : { ...options, sinceTime, sinceSeconds: undefined, tailLines: undefined };
      return openLog(source, { ...from, timestamps: true, previous, follow: !previous }, cluster, context);
    },
  });
}

async function showRaw(source: Source, options: LogsOptions, cluster: ClusterContext, context: CommandContext): Promise<void> {
  const stream = await readLog(source, options, cluster, context);
  try {
    for await (const chunk of stream) await context.out.write(chunk);
  } catch (cause) {
    if (isCancellation(cause) || cause instanceof TesseraError) throw cause;
    throw new TesseraError("ServiceUnavailable", "the connection was lost in the middle of the log; there may be more", { cause });
  }
}

async function showLines(source: Source, options: LogsOptions, cluster: ClusterContext, context: CommandContext): Promise<void> {
  const prefix = options.prefix ? `[pod/${source.pod}/${source.container}] ` : "";
  try {
    const stream = await readLog(source, options, cluster, context);
    for await (const line of readLines(Readable.from(stream, { objectMode: false }))) await context.out.write(`${prefix}${line}\n`);
  } catch (error) {
    if (!options.ignoreErrors || !(error instanceof TesseraError)) throw error;
    await context.err.write(`error: ${source.pod}/${source.container}: ${error.message}\n`);
  }
}

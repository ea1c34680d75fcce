import { isCancellation, TesseraError } from "@tessera/proto";
import type { ApiList, ApiObject } from "../api/api.ts";
import { type ApiResource, displayName, pathOf } from "../api/discovery.ts";
import { follow } from "../api/watch.ts";
import { type ClusterContext, type CommandContext, collect, defineCommand, flag } from "../command.ts";
import { readManifests } from "../manifest/read-manifests.ts";
import { parseDuration } from "../print/age.ts";
import { parseTargetWords, resolveTargets, type TargetWords } from "../targets.ts";

interface DeleteOptions {
  readonly words?: TargetWords;
  readonly files: readonly string[];
  readonly selector?: string;
  readonly fieldSelector?: string;
  readonly all: boolean;
  readonly allNamespaces: boolean;
  readonly gracePeriodSeconds?: number;
  readonly force: boolean;
  readonly wait: boolean;
  readonly timeoutMs?: number;
  readonly ignoreNotFound: boolean;
  readonly nameOnly: boolean;
}

/** One object that is to go. */
interface Doomed {
  readonly resource: ApiResource;
  readonly namespace: string | undefined;
  readonly name: string;
}

export const deleteCommand = defineCommand<DeleteOptions>({
  name: "delete",
  summary: "Delete objects, and wait until they are gone",
  examples: `# Ends the pod with its grace period
tsctl delete pod hello
# What a file made
tsctl delete -f examples/pod.yaml
# At once, without asking the containers
tsctl delete pod hello --force`,
  declare: (command) =>
    command
      .argument("[type...]", "TYPE NAME..., TYPE/NAME..., or TYPE with -l or --all")
      .option("-f, --filename <path>", "the objects of a file, a folder, or - for stdin (repeatable)", collect)
      .option("-l, --selector <labels>", "all objects with these labels")
      .option("--field-selector <fields>", "all objects with these fields")
      .option("--all", "all objects of the type in the namespace")
      .option("-A, --all-namespaces", "with --all or a selector: in all namespaces")
      .option("--grace-period <seconds>", "time for the containers to end by themselves; -1: the pod's own")
      .option("--now", "a grace period of one second")
      .option("--force", "no grace period")
      .option("--no-wait", "return without waiting until they are gone")
      .option("--timeout <duration>", "how long to wait for each; 0: without an end", "0")
      .option("--ignore-not-found", "an object that does not exist is no error")
      .option("-o, --output <format>", '"name": print the names only'),
  parse: (words, flags) => ({
    words: words.length > 0 ? parseTargetWords(words, "delete") : undefined,
    files: flag.texts(flags["filename"]),
    selector: flag.text(flags["selector"]),
    fieldSelector: flag.text(flags["fieldSelector"]),
    all: flag.isSet(flags["all"]),
    allNamespaces: flag.isSet(flags["allNamespaces"]),
    gracePeriodSeconds: parseGrace(flags),
    force: flag.isSet(flags["force"]),
    wait: flags["wait"] !== false,
    timeoutMs: parseTimeout(flag.text(flags["timeout"]) ?? "0"),
    ignoreNotFound: flag.isSet(flags["ignoreNotFound"]),
    nameOnly: flags["output"] === "name",
  }),
  validate: (options) => {
    const { words, files, selector, fieldSelector, all, gracePeriodSeconds, force } = options;
    const hasNames = words?.form === "pairs" || (words?.names.length ?? 0) > 0;
    const chooses = selector !== undefined || fieldSelector !== undefined || all;
    const faults: string[] = [];
    if (words === undefined && files.length === 0) faults.push("say what to delete: tsctl delete TYPE NAME, or -f FILE");
    if (words !== undefined && files.length > 0) faults.push("give either -f or names, not both");
    if (words !== undefined && !hasNames && !chooses) faults.push("say which: NAME..., -l LABELS or --all");
    if (hasNames && chooses) faults.push("give either names or -l, --field-selector and --all, not both");
    if (force && gracePeriodSeconds !== undefined && gracePeriodSeconds > 0)
      faults.push("--force has no grace period; leave --grace-period out");
    if (gracePeriodSeconds === 0 && !force) faults.push("a grace period of 0 kills at once: say --force as well");
    return faults;
  },
  run: async (options, context) => {
    const cluster = await context.cluster();
    let code = 0;
    const doomed = await findDoomed(options, cluster, context);
    if (doomed.length === 0 && !options.nameOnly) await context.err.write("Nothing to delete\n");
    const marked: { doomed: Doomed; uid: string | undefined }[] = [];
    for (const each of doomed) {
      try {
        marked.push({ doomed: each, uid: await requestDeletion(each, options, cluster, context) });
        await context.out.write(tell(each, options));
      } catch (error) {
        if (!(error instanceof TesseraError) || error.reason === "ServiceUnavailable") throw error;
        if (error.reason === "NotFound" && options.ignoreNotFound) continue;
        await context.err.write(`error: ${error.message}\n`);
        code = 1;
      }
    }
    if (!options.wait) return code;
    const waits = await Promise.all(marked.map(async (each) => await waitUntilGone(each.doomed, each.uid, options, cluster, context)));
    for (const fault of waits.filter((each) => each !== undefined)) {
      await context.err.write(`error: ${fault}\n`);
      code = 1;
    }
    return code;
  },
});

function parseGrace(flags: Readonly<Record<string, unknown>>): number | undefined {
  if (flag.isSet(flags["now"])) return 1;
  const text = flag.text(flags["gracePeriod"]);
  if (text === undefined) return flag.isSet(flags["force"]) ? 0 : undefined;
  if (!/^-?\d+$/.test(text)) throw new TesseraError("BadRequest", `--grace-period "${text}" is not a number of seconds`);
  return Number(text) < 0 ? undefined : Number(text);
}

function parseTimeout(text: string): number | undefined {
  const timeout = parseDuration(text);
  if (timeout === undefined) throw new TesseraError("BadRequest", `--timeout "${text}" is not a duration such as 30s or 5m`);
  return timeout === 0 ? undefined : timeout;
}

function tell({ resource, name }: Doomed, options: DeleteOptions): string {
  if (options.nameOnly) return `${displayName(resource)}/${name}\n`;
  return `${displayName(resource)} "${name}" ${options.force ? "force deleted" : "deleted"}\n`;
}

async function findDoomed(options: DeleteOptions, cluster: ClusterContext, context: CommandContext): Promise<Doomed[]> {
  const discovery = await cluster.discovery();
  if (options.words === undefined) {
    const manifests = await readManifests(options.files, context.input);
    // What was made last goes first: a namespace after what is in it.
    return manifests.reverse().map(({ object, source, lineOf }) => {
      const resource = discovery.ofKind(object.apiVersion ?? "", object.kind ?? "");
      if (resource === undefined)
        throw new TesseraError(
          "NotFound",
          `${source}: the server has no kind "${object.kind}" in ${object.apiVersion} (line ${lineOf("kind")})`,
        );
      if (object.metadata?.name === undefined)
        throw new TesseraError("BadRequest", `${source}: metadata.name is missing (line ${lineOf("metadata")})`);
      return {
        resource,
        namespace: resource.namespaced ? (object.metadata.namespace ?? cluster.namespace) : undefined,
        name: object.metadata.name,
      };
    });
  }
  const found: Doomed[] = [];
  for (const { resource, name } of resolveTargets(options.words, discovery)) {
    const namespace = resource.namespaced ? cluster.namespace : undefined;
    if (name !== undefined) {
      found.push({ resource, namespace, name });
      continue;
    }
    const query = { labelSelector: options.selector, fieldSelector: options.fieldSelector };
    const path = pathOf(resource, options.allNamespaces ? undefined : namespace);
    const list = await cluster.api.request<ApiList>("GET", path, { query, signal: context.signal });
    for (const { metadata } of list.items ?? [])
      if (metadata?.name !== undefined) found.push({ resource, namespace: metadata.namespace, name: metadata.name });
  }
  return found;
}

/** Returns the uid of what was told to go, so that a successor of the same name is not waited for. */
async function requestDeletion(
  doomed: Doomed,
  options: DeleteOptions,
  cluster: ClusterContext,
  context: CommandContext,
): Promise<string | undefined> {
  const path = pathOf(doomed.resource, doomed.namespace, doomed.name);
  const body = { apiVersion: "v1", kind: "DeleteOptions", gracePeriodSeconds: options.gracePeriodSeconds, propagationPolicy: "Background" };
  const answer = await cluster.api.request<ApiObject & { details?: { uid?: string } }>("DELETE", path, { body, signal: context.signal });
  return answer.kind === "Status" ? answer.details?.uid : answer.metadata?.uid;
}

/** Undefined when it is gone; otherwise what to tell. */
async function waitUntilGone(
  doomed: Doomed,
  uid: string | undefined,
  options: DeleteOptions,
  cluster: ClusterContext,
  context: CommandContext,
): Promise<string | undefined> {
  const timeout = options.timeoutMs === undefined ? undefined : AbortSignal.timeout(options.timeoutMs);
  const signal = timeout === undefined ? context.signal : AbortSignal.any([context.signal, timeout]);
  const path = pathOf(doomed.resource, doomed.namespace);
  const isIt = (object: ApiObject) => object.metadata?.name === doomed.name && (uid === undefined || object.metadata?.uid === uid);
  try {
    for await (const news of follow<ApiObject>(cluster.api, path, { fieldSelector: `metadata.name=${doomed.name}` }, { signal })) {
      if (news.type === "LISTED" ? !news.items.some(isIt) : news.type === "DELETED" && isIt(news.object)) return undefined;
    }
    return undefined;
  } catch (error) {
    if (!isCancellation(error) && !(error instanceof Error && error.name === "TimeoutError")) throw error;
    if (timeout?.aborted !== true)
      return `stopped waiting for ${displayName(doomed.resource)}/${doomed.name}, which is still being deleted`;
    return `${displayName(doomed.resource)}/${doomed.name} is still there after ${(options.timeoutMs ?? 0) / 1000} s; "tsctl describe ${displayName(doomed.resource)} ${doomed.name}" may say why`;
  }
}

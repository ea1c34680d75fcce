import { isCancellation, TesseraError } from "@tessera/proto";
import type { ApiList, ApiObject } from "../api/api.ts";
import { displayName, pathOf } from "../api/discovery.ts";
import { follow } from "../api/watch.ts";
import { type ClusterContext, type CommandContext, defineCommand, flag } from "../command.ts";
import { parseDuration } from "../print/age.ts";
import { findByJsonPath } from "../print/jsonpath.ts";
import { parseTargetWords, resolveTargets, type Target, type TargetWords } from "../targets.ts";

/** What is waited for. */
interface Goal {
  /** For messages: "condition Ready". */
  readonly text: string;
  /** `undefined`: the object is not there. */
  readonly isReached: (object: ApiObject | undefined) => boolean;
  /** What to say when an object does not exist: an error, or a reason to go on waiting. */
  readonly toleratesAbsence: boolean;
}

interface WaitOptions {
  readonly words: TargetWords;
  readonly goal: Goal;
  readonly timeoutMs: number;
  readonly selector?: string;
  readonly fieldSelector?: string;
  readonly all: boolean;
  readonly allNamespaces: boolean;
}

export const waitCommand = defineCommand<WaitOptions>({
  name: "wait",
  summary: "Wait until objects are as wanted",
  examples: `# Until the pod serves
tsctl wait --for=condition=Ready pod/hello
# Until a job-like pod has succeeded
tsctl wait --for=jsonpath='{.status.phase}'=Succeeded pod/import --timeout=5m
# Until they are gone
tsctl wait --for=delete pods -l app=web`,
  declare: (command) =>
    command
      .argument("<type...>", "TYPE/NAME..., TYPE NAME..., or TYPE with -l or --all")
      .requiredOption("--for <goal>", "condition=NAME[=STATUS], delete, create, or jsonpath='{.path}'[=VALUE]")
      .option("--timeout <duration>", "how long to wait; 0: look once", "30s")
      .option("-l, --selector <labels>", "all objects with these labels")
      .option("--field-selector <fields>", "all objects with these fields")
      .option("--all", "all objects of the type in the namespace")
      .option("-A, --all-namespaces", "in all namespaces"),
  parse: (words, flags) => {
    const timeout = flag.text(flags["timeout"]) ?? "30s";
    const timeoutMs = timeout.startsWith("-") ? 7 * 86_400_000 : parseDuration(timeout);
    if (timeoutMs === undefined) throw new TesseraError("BadRequest", `--timeout "${timeout}" is not a duration such as 30s or 5m`);
    return {
      words: parseTargetWords(words, "wait"),
      goal: parseGoal(flag.text(flags["for"]) ?? ""),
      timeoutMs,
      selector: flag.text(flags["selector"]),
      fieldSelector: flag.text(flags["fieldSelector"]),
      all: flag.isSet(flags["all"]),
      allNamespaces: flag.isSet(flags["allNamespaces"]),
    };
  },
  validate: ({ words, selector, fieldSelector, all }) => {
    const hasNames = words.form === "pairs" || words.names.length > 0;
    const chooses = selector !== undefined || fieldSelector !== undefined || all;
    if (!hasNames && !chooses) return ["say which: NAME..., -l LABELS or --all"];
    return hasNames && chooses ? ["give either names or -l, --field-selector and --all, not both"] : [];
  },
  run: async (options, context) => {
    const cluster = await context.cluster();
    const timeout = AbortSignal.timeout(Math.max(options.timeoutMs, 1000));
    const signal = AbortSignal.any([context.signal, timeout]);
    const objects = await findObjects(options, cluster, signal);
    if (objects.length === 0) {
      if (options.goal.toleratesAbsence) return 0;
      throw new TesseraError("NotFound", "no object matches, so there is nothing to wait for");
    }
    const results = await Promise.all(objects.map(async (object) => await waitFor(object, options, cluster, context, signal)));
    return results.every(Boolean) ? 0 : 1;
  },
});

export function parseGoal(text: string): Goal {
  if (text === "delete") return { text: "deletion", isReached: (object) => object === undefined, toleratesAbsence: true };
  if (text === "create") return { text: "creation", isReached: (object) => object !== undefined, toleratesAbsence: true };
  const condition = /^condition=([^=]+)(?:=(.*))?$/.exec(text);
  if (condition !== null) return conditionGoal(condition[1] ?? "", condition[2] ?? "True");
  const path = /^jsonpath=(\{.*?\}|[^=]+)(?:=(.*))?$/s.exec(text);
  if (path !== null) return jsonPathGoal(path[1] ?? "", path[2]);
  throw new TesseraError(
    "BadRequest",
    `--for "${text}" is not known; it can be condition=NAME[=STATUS], delete, create, or jsonpath='{.path}'[=VALUE]`,
  );
}

function conditionGoal(name: string, status: string): Goal {
  const isReached = (object: ApiObject | undefined) => {
    const { conditions } = (object?.["status"] ?? {}) as { conditions?: { type?: string; status?: string }[] };
    const condition = conditions?.find((each) => each.type?.toLowerCase() === name.toLowerCase());
    return condition?.status?.toLowerCase() === status.toLowerCase();
  };
  return { text: `condition ${name}${status.toLowerCase() === "true" ? "" : `=${status}`}`, isReached, toleratesAbsence: false };
}

function jsonPathGoal(expression: string, wanted: string | undefined): Goal {
  findByJsonPath(expression, {});
  const value = wanted?.replace(/^(['"])(.*)\1$/s, "$2");
  const isReached = (object: ApiObject | undefined) => {
    const found = findByJsonPath(expression, object);
    return value === undefined
      ? found.length > 0
      : found.some((each) => (typeof each === "string" ? each : JSON.stringify(each)) === value);
  };
  return { text: `${expression}${value === undefined ? "" : ` to be ${value}`}`, isReached, toleratesAbsence: false };
}

interface Waited {
  readonly target: Target;
  readonly namespace: string | undefined;
  readonly name: string;
  /** Of a named object: found out by the wait itself. */
  readonly uid?: string;
}

async function findObjects(options: WaitOptions, cluster: ClusterContext, signal: AbortSignal): Promise<Waited[]> {
  const found: Waited[] = [];
  for (const target of resolveTargets(options.words, await cluster.discovery())) {
    const namespace = target.resource.namespaced ? cluster.namespace : undefined;
    if (target.name !== undefined) {
      found.push({ target, namespace, name: target.name });
      continue;
    }
    const query = { labelSelector: options.selector, fieldSelector: options.fieldSelector };
    const list = await cluster.api.request<ApiList>("GET", pathOf(target.resource, options.allNamespaces ? undefined : namespace), {
      query,
      signal,
    });
    for (const { metadata } of list.items ?? [])
      found.push({ target, namespace: metadata?.namespace, name: metadata?.name ?? "", uid: metadata?.uid });
  }
  return found;
}

async function waitFor(
  waited: Waited,
  options: WaitOptions,
  cluster: ClusterContext,
  context: CommandContext,
  signal: AbortSignal,
): Promise<boolean> {
  const { resource } = waited.target;
  const label = `${displayName(resource)}/${waited.name}`;
  const path = pathOf(resource, waited.namespace);
  // Of objects that a selector chose, a successor of the same name is another one.
  const isIt = (object: ApiObject) => waited.uid === undefined || object.metadata?.uid === waited.uid;
  try {
    for await (const news of follow<ApiObject>(cluster.api, path, { fieldSelector: `metadata.name=${waited.name}` }, { signal })) {
      const object = news.type === "LISTED" ? news.items.find(isIt) : news.type === "DELETED" ? undefined : news.object;
      if (object === undefined && !options.goal.toleratesAbsence) {
        await context.err.write(`error: ${resource.plural} "${waited.name}" ${news.type === "DELETED" ? "was deleted" : "not found"}\n`);
        return false;
      }
      if (options.goal.isReached(object)) {
        await context.out.write(`${label} ${options.goal.text === "deletion" ? "deleted" : "condition met"}\n`);
        return true;
      }
      if (options.timeoutMs === 0) break;
    }
  } catch (error) {
    const isTimeout = isCancellation(error) || (error instanceof Error && error.name === "TimeoutError");
    // Whoever pressed Ctrl-C knows how long they waited.
    if (!isTimeout || context.signal.aborted) throw error;
  }
  await context.err.write(
    `error: waited ${options.timeoutMs / 1000} s in vain for ${options.goal.text} of ${label}; "tsctl describe ${displayName(resource)} ${waited.name}" may say why\n`,
  );
  return false;
}

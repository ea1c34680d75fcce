import { TesseraError } from "@tessera/proto";
import type { ApiObject } from "../api/api.ts";
import { type AnyCommand, type CommandContext, defineCommand, flag } from "../command.ts";
import { patchTypes } from "../manifest/change.ts";
import {
  type Chosen,
  declareSelection,
  findChosen,
  parseSelection,
  pathTo,
  type Selection,
  selectionFaults,
  titleOf,
} from "../selection.ts";
import { declareWriting, forEachOf, parseWriting, tellWritten, type Writing, writingQuery } from "../writing.ts";

interface MarkOptions {
  readonly selection: Selection;
  readonly marks: Marks;
  readonly overwrite: boolean;
  readonly resourceVersion?: string;
  readonly list: boolean;
  readonly writing: Writing;
}

/** What "a=b" sets and "a-" removes. */
interface Marks {
  readonly set: ReadonlyMap<string, string>;
  readonly removed: ReadonlySet<string>;
}

type Pairs = Readonly<Record<string, string>>;

/** How often it is tried again when somebody else changes the same object. */
const maxAttempts = 5;

/** `label` and `annotate`: two names for one thing. */
interface Kind {
  readonly verb: "label" | "annotate";
  readonly noun: "label" | "annotation";
  readonly field: "labels" | "annotations";
  readonly summary: string;
  readonly examples: string;
  /** What to say of an object that had `before` marks and has `after` now. */
  readonly done: (before: Pairs, after: Pairs, overwrite: boolean) => string;
}

function defineMark(kind: Kind): AnyCommand {
  return defineCommand<MarkOptions>({
    name: kind.verb,
    summary: kind.summary,
    examples: kind.examples,
    declare: (command) =>
      declareWriting(declareSelection(command.argument("[type...]", "TYPE NAME... or TYPE/NAME..., then KEY=VALUE... and KEY-...")))
        .option("--overwrite", `a ${kind.noun} that is there with another value gets the new one`)
        .option("--resource-version <version>", "only if the object is at this version")
        .option("--list", `show the ${kind.field}`),
    parse: (words, flags) => {
      const first = words.findIndex(isMark);
      const [targets, marks] = first < 0 ? [words, []] : [words.slice(0, first), words.slice(first)];
      return {
        selection: parseSelection(targets, flags, kind.verb),
        marks: parseMarks(marks, kind),
        overwrite: flag.isSet(flags["overwrite"]),
        resourceVersion: flag.text(flags["resourceVersion"]),
        list: flag.isSet(flags["list"]),
        writing: parseWriting(flags),
      };
    },
    validate: ({ selection, marks, list }) => [
      ...selectionFaults(selection, kind.verb),
      ...(marks.set.size + marks.removed.size === 0 && !list ? [`at least one ${kind.noun} update is required: KEY=VALUE or KEY-`] : []),
      ...[...marks.set.keys()].filter((key) => marks.removed.has(key)).map((key) => `cannot both set and remove "${key}"`),
    ],
    run: async (options, context) => {
      const chosen = await findChosen(options.selection, await context.cluster(), context);
      return await forEachOf(chosen, context, async (each) => await markOne(each, kind, options, context));
    },
  });
}

const isMark = (word: string): boolean => word.includes("=") || (word.endsWith("-") && word.length > 1);

function parseMarks(words: readonly string[], kind: Kind): Marks {
  const set = new Map<string, string>();
  const removed = new Set<string>();
  for (const word of words) {
    if (!isMark(word)) throw new TesseraError("BadRequest", `all resources must be specified before ${kind.noun} changes: ${word}`);
    const at = word.indexOf("=");
    const key = at < 0 ? word.slice(0, -1) : word.slice(0, at);
    if (key === "") throw new TesseraError("BadRequest", `invalid ${kind.noun} spec: ${word}`);
    if (at < 0) removed.add(key);
    else set.set(key, word.slice(at + 1));
  }
  return { set, removed };
}

async function markOne(chosen: Chosen, kind: Kind, options: MarkOptions, context: CommandContext): Promise<void> {
  const { api } = await context.cluster();
  for (let attempt = 1; ; attempt++) {
    const object = await api.request<ApiObject>("GET", pathTo(chosen), { signal: context.signal });
    const before = object.metadata?.[kind.field] ?? {};
    try {
      const marked = await send(object, before, chosen, kind, options, context);
      const after = marked.metadata?.[kind.field] ?? {};
      if (options.list) await context.out.write(list(after, chosen));
      else await tellWritten(marked, kind.done(before, after, options.overwrite), chosen.resource, options.writing, context);
      return;
    } catch (error) {
      const isRace = error instanceof TesseraError && error.reason === "Conflict" && options.resourceVersion === undefined;
      if (!isRace || attempt === maxAttempts) throw error;
    }
  }
}

async function send(
  object: ApiObject,
  before: Pairs,
  chosen: Chosen,
  kind: Kind,
  { marks, overwrite, resourceVersion, writing }: MarkOptions,
  context: CommandContext,
): Promise<ApiObject> {
  const taken = [...marks.set].filter(([key, value]) => before[key] !== undefined && before[key] !== value);
  if (taken.length > 0 && !overwrite) {
    const values = taken.map(([key]) => `'${key}' already has a value (${before[key]})`).join(", ");
    throw new TesseraError("BadRequest", `${titleOf(chosen)}: ${values}, and --overwrite is false`);
  }
  for (const key of marks.removed)
    if (before[key] === undefined && kind.verb === "label") await context.out.write(`label "${key}" not found.\n`);
  const removed = [...marks.removed].filter((key) => before[key] !== undefined);
  const changes = Object.fromEntries([...marks.set, ...removed.map((key) => [key, null])]);
  if (Object.keys(changes).length === 0) return object;
  if (writing.dryRun === "client") {
    const kept = Object.entries({ ...before, ...changes }).filter(([, value]) => value !== null);
    return { ...object, metadata: { ...object.metadata, [kind.field]: Object.fromEntries(kept) } };
  }
  // Without --overwrite what was seen must still be so.
  const version = resourceVersion ?? (overwrite ? undefined : object.metadata?.resourceVersion);
  const { api } = await context.cluster();
  return await api.request<ApiObject>("PATCH", pathTo(chosen), {
    body: { metadata: { [kind.field]: changes, resourceVersion: version } },
    contentType: patchTypes.merge,
    query: writingQuery(writing),
    signal: context.signal,
  });
}

function list(pairs: Pairs, chosen: Chosen): string {
  const lines = Object.entries(pairs).map(([key, value]) => ` ${key}=${value}\n`);
  return lines.length === 0 ? `${titleOf(chosen)} has none\n` : `Listing those of ${titleOf(chosen)}:\n${lines.join("")}`;
}

const isEqual = (one: Pairs, other: Pairs): boolean =>
  Object.keys(one).length === Object.keys(other).length && Object.keys(one).every((key) => one[key] === other[key]);

export const labelCommand = defineMark({
  verb: "label",
  noun: "label",
  field: "labels",
  summary: "Set and remove labels",
  examples: `# Set one, remove another one
tsctl label pod hello tier=front old-
# Change one that is there
tsctl label pods --all tier=back --overwrite`,
  done: (before, after, overwrite) => {
    if (isEqual(before, after)) return "not labeled";
    return !overwrite && Object.keys(after).length < Object.keys(before).length ? "unlabeled" : "labeled";
  },
});

export const annotateCommand = defineMark({
  verb: "annotate",
  noun: "annotation",
  field: "annotations",
  summary: "Set and remove annotations",
  examples: `# Set one, remove another one
tsctl annotate pod hello note='who made it' old-`,
  done: () => "annotated",
});

import { readFile } from "node:fs/promises";
import { parseManifest, TesseraError } from "@tessera/proto";
import type { ApiObject } from "../api/api.ts";
import { type CommandContext, defineCommand, flag } from "../command.ts";
import { patchTypes } from "../manifest/change.ts";
import { type Chosen, declareSelection, findChosen, parseSelection, pathTo, type Selection, selectionFaults } from "../selection.ts";
import { declareWriting, forEachOf, parseWriting, tellWritten, type Writing, writingQuery } from "../writing.ts";

interface PatchOptions {
  readonly selection: Selection;
  readonly type: string;
  readonly patch?: string;
  readonly patchFile?: string;
  readonly subresource?: string;
  readonly writing: Writing;
}

export const patchCommand = defineCommand<PatchOptions>({
  name: "patch",
  summary: "Change some fields of objects",
  examples: `# Another image
tsctl patch pod hello -p '{"spec":{"containers":[{"name":"main","image":"tessera.local/busybox:2"}]}}'
# A field goes
tsctl patch configmap settings --type=json -p '[{"op":"remove","path":"/data/old"}]'
# In YAML, from a file
tsctl patch configmap settings --type=merge --patch-file change.yaml`,
  declare: (command) =>
    declareWriting(declareSelection(command.argument("[type...]", "TYPE NAME..., TYPE/NAME..., or TYPE with -l or --all")))
      .option("--type <how>", "strategic: lists with names merge; merge: lists are replaced; json: a list of operations", "strategic")
      .option("-p, --patch <text>", "the patch, in JSON or YAML")
      .option("--patch-file <path>", "a file with the patch")
      .option("--subresource <name>", "of this part, such as status"),
  parse: (words, flags) => ({
    selection: parseSelection(words, flags, "patch"),
    type: flag.text(flags["type"]) ?? "strategic",
    patch: flag.text(flags["patch"]),
    patchFile: flag.text(flags["patchFile"]),
    subresource: flag.text(flags["subresource"]),
    writing: parseWriting(flags),
  }),
  validate: ({ selection, type, patch, patchFile, writing }) => [
    ...selectionFaults(selection, "patch"),
    ...(type in patchTypes ? [] : [`--type=${type} is not known; it can be json, merge or strategic`]),
    ...((patch === undefined) === (patchFile === undefined) ? ["say what to change, with either -p PATCH or --patch-file FILE"] : []),
    ...(writing.dryRun === "client" ? ['--dry-run=client cannot know what the server would make of it; "server" asks it'] : []),
  ],
  run: async (options, context) => {
    const body = parsePatch(options.patch ?? (await readPatchFile(options.patchFile ?? "")), options.type);
    const cluster = await context.cluster();
    return await forEachOf(await findChosen(options.selection, cluster, context), context, async (chosen) => {
      await patchOne(chosen, body, options, context);
    });
  },
});

async function patchOne(chosen: Chosen, body: unknown, options: PatchOptions, context: CommandContext): Promise<void> {
  const { api } = await context.cluster();
  const { signal } = context;
  const before = await api.request<ApiObject>("GET", pathTo(chosen), { signal });
  const path = options.subresource === undefined ? pathTo(chosen) : `${pathTo(chosen)}/${encodeURIComponent(options.subresource)}`;
  const contentType = patchTypes[options.type as keyof typeof patchTypes];
  const object = await api.request<ApiObject>("PATCH", path, { body, contentType, query: writingQuery(options.writing), signal });
  const isSame = before.metadata?.resourceVersion === object.metadata?.resourceVersion && options.writing.dryRun === "none";
  await tellWritten(object, isSame ? "patched (no change)" : "patched", chosen.resource, options.writing, context);
}

async function readPatchFile(path: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (cause) {
    throw new TesseraError("BadRequest", `--patch-file ${path} cannot be read: ${(cause as Error).message}`, { cause });
  }
}

function parsePatch(text: string, type: string): unknown {
  let values: unknown[];
  try {
    values = parseManifest(text).map(({ value }) => value);
  } catch (cause) {
    throw new TesseraError("BadRequest", `the patch is neither JSON nor YAML: ${(cause as Error).message}`, { cause });
  }
  const [value] = values;
  if (type === "json" ? Array.isArray(value) : typeof value === "object" && value !== null && !Array.isArray(value)) return value;
  const example = type === "json" ? '[{"op":"remove","path":"/data/a"}]' : '{"metadata":{"labels":{"app":"web"}}}';
  throw new TesseraError("BadRequest", `a ${type} patch looks like ${example}`);
}

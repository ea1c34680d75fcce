import { parseManifest, TesseraError } from "@tessera/proto";
import type { ApiObject } from "../api/api.ts";
import { type CommandContext, defineCommand } from "../command.ts";
import { EditedFile } from "../edit/editor.ts";
import { describeError } from "../errors.ts";
import { changeOf } from "../manifest/change.ts";
import { toYaml } from "../print/format.ts";
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
import { forEachOf, tellWritten, type Writing, writingQuery } from "../writing.ts";

const writing: Writing = { format: { as: "table", wide: false }, dryRun: "none" };

const header = `# Change the object below and leave the editor; an empty file changes nothing.
# Lines that begin with "#" do not count. What the server refuses comes back here, with the reason.
#
`;

export const editCommand = defineCommand<{ readonly selection: Selection }>({
  name: "edit",
  summary: "Change objects in your editor",
  examples: `# In $KUBE_EDITOR, $EDITOR or vi
tsctl edit configmap settings
KUBE_EDITOR="code --wait" tsctl edit pod/hello`,
  declare: (command) => declareSelection(command.argument("[type...]", "TYPE NAME..., TYPE/NAME..., or TYPE with -l or --all")),
  parse: (words, flags) => ({ selection: parseSelection(words, flags, "edit") }),
  validate: ({ selection }) => selectionFaults(selection, "edit"),
  run: async ({ selection }, context) => {
    const chosen = await findChosen(selection, await context.cluster(), context);
    return await forEachOf(chosen, context, async (each) => await editOne(each, context));
  },
});

async function editOne(chosen: Chosen, context: CommandContext): Promise<void> {
  const { api } = await context.cluster();
  const original = await api.request<ApiObject>("GET", pathTo(chosen), { signal: context.signal });
  await using file = await EditedFile.create(`${titleOf(chosen).replaceAll("/", "-")}.yaml`, context.settings.editor);
  const shown = toYaml(original);
  let text = header + shown;
  let fault: string | undefined;
  for (;;) {
    const saved = await file.edit(text);
    const content = withoutComments(saved);
    const isUntouched = content === withoutComments(text);
    if (isUntouched && fault !== undefined) {
      throw new TesseraError(
        "Invalid",
        `Edit cancelled, no valid changes were saved. A copy of them is in ${file.keep()}\n${fault.trimEnd()}`,
      );
    }
    if (content.trim() === "" || isUntouched || content === shown) {
      await context.err.write("Edit cancelled, no changes made.\n");
      return;
    }
    try {
      await send(parse(content), original, chosen, context);
      return;
    } catch (error) {
      if (!(error instanceof TesseraError) || error.reason === "ServiceUnavailable") {
        await context.err.write(`your changes are in ${file.keep()}\n`);
        throw error;
      }
      fault = describeError(error);
      const comment = `# ${titleOf(chosen)} was not changed:\n${fault.trimEnd().replace(/^/gm, "# ")}\n#\n`;
      text = header + comment + content;
    }
  }
}

const withoutComments = (text: string): string => text.replace(/^#.*\n?/gm, "");

function parse(text: string): ApiObject {
  const [document, more] = parseManifest(text);
  if (document === undefined || more !== undefined || typeof document.value !== "object" || document.value === null)
    throw new TesseraError("BadRequest", "one object was expected");
  return document.value as ApiObject;
}

async function send(edited: ApiObject, original: ApiObject, chosen: Chosen, context: CommandContext): Promise<void> {
  for (const field of ["apiVersion", "kind"] as const)
    if (edited[field] !== original[field]) throw new TesseraError("Invalid", `${field} cannot be changed; it is "${original[field]}"`);
  if (edited.metadata?.name !== original.metadata?.name)
    throw new TesseraError("Invalid", `metadata.name cannot be changed; it is "${original.metadata?.name}"`);
  const states = { last: original, wanted: edited, current: original } as const;
  const change = changeOf(chosen.resource, states);
  if (change === undefined) {
    await context.err.write("Edit cancelled, no changes made.\n");
    return;
  }
  const { api } = await context.cluster();
  const query = { ...writingQuery(writing), fieldValidation: "Strict" };
  const object = await api.request<ApiObject>("PATCH", pathTo(chosen), { ...change, query, signal: context.signal });
  await tellWritten(object, "edited", chosen.resource, writing, context);
}

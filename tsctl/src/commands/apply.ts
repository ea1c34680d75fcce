import { TesseraError } from "@tessera/proto";
import { displayName } from "../api/discovery.ts";
import { type ClusterContext, type CommandContext, collect, defineCommand, flag } from "../command.ts";
import { applyObject } from "../manifest/apply-object.ts";
import { placeManifest } from "../manifest/placement.ts";
import { findFaults, type Manifest, manifestFault, readManifests } from "../manifest/read-manifests.ts";
import {
  declareValidation,
  declareWriting,
  fieldValidation,
  forEachOf,
  parseWriting,
  tellWritten,
  validationFaults,
  type Writing,
  writingQuery,
} from "../writing.ts";

interface ApplyOptions {
  readonly files: readonly string[];
  readonly writing: Writing;
  readonly validation: string;
}

export const applyCommand = defineCommand<ApplyOptions>({
  name: "apply",
  summary: "Make objects as files say, or change them accordingly",
  examples: `# Make or change what the file says
tsctl apply -f examples/pod.yaml
# A whole folder, and what another program prints
tsctl apply -f manifests/ -f -`,
  declare: (command) =>
    declareValidation(declareWriting(command.option("-f, --filename <path>", "file, folder, or - for stdin (repeatable)", collect))),
  parse: (words, flags) => {
    if (words.length > 0) throw new TesseraError("BadRequest", `apply takes files with -f: tsctl apply -f ${words[0]}`);
    return { files: flag.texts(flags["filename"]), writing: parseWriting(flags), validation: flag.text(flags["validate"]) ?? "strict" };
  },
  validate: ({ files, validation, writing }) => [
    ...(files.length === 0 ? ["say which files to apply: tsctl apply -f FILE"] : []),
    ...(writing.dryRun === "client" ? ['--dry-run=client cannot know what the server has; "server" asks it'] : []),
    ...validationFaults(validation),
  ],
  run: async (options, context) => {
    const manifests = await readManifests(options.files, context.input);
    const faults = findFaults(manifests);
    if (faults.length > 0) throw manifestFault(faults);
    const cluster = await context.cluster();
    return await forEachOf(
      manifests.map((manifest) => ({ manifest })),
      context,
      async ({ manifest }) => await applyManifest(manifest, options, cluster, context),
    );
  },
});

async function applyManifest(manifest: Manifest, options: ApplyOptions, cluster: ClusterContext, context: CommandContext): Promise<void> {
  const placement = await placeManifest(manifest, cluster);
  const query = { ...writingQuery(options.writing), fieldValidation: fieldValidation(options.validation) };
  const { object, done } = await applyObject(manifest.object, { ...placement, query, cluster, signal: context.signal });
  await tellWritten(object, done, placement.resource, options.writing, context);
  if (object.metadata?.deletionTimestamp !== undefined) {
    const title = `${displayName(placement.resource)}/${object.metadata.name}`;
    await context.err.write(`note: ${title} is being deleted; apply it again once it is gone\n`);
  }
}

import { TesseraError } from "@tessera/proto";
import type { ApiObject } from "../api/api.ts";
import { displayName, pathOf } from "../api/discovery.ts";
import { type CommandContext, collect, defineCommand, flag } from "../command.ts";
import { requestDeletion, waitUntilGone } from "../gone.ts";
import { nameIn, placeManifest } from "../manifest/placement.ts";
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

interface ReplaceOptions {
  readonly files: readonly string[];
  readonly force: boolean;
  readonly gracePeriodSeconds?: number;
  readonly writing: Writing;
  readonly validation: string;
}

export const replaceCommand = defineCommand<ReplaceOptions>({
  name: "replace",
  summary: "Put what files say in place of what is there",
  examples: `# All of the object is as the file says afterwards
tsctl replace -f settings.yaml
# What cannot be changed is deleted and made anew
tsctl replace --force -f pod.yaml`,
  declare: (command) =>
    declareValidation(declareWriting(command.option("-f, --filename <path>", "file, folder, or - for stdin (repeatable)", collect)))
      .option("--force", "delete each object and make it anew")
      .option("--grace-period <seconds>", "with --force: time for the containers to end by themselves; -1: the pod's own", "-1"),
  parse: (words, flags) => {
    if (words.length > 0) throw new TesseraError("BadRequest", `replace takes files with -f: tsctl replace -f ${words[0]}`);
    const grace = flag.text(flags["gracePeriod"]) ?? "-1";
    if (!/^-?\d+$/.test(grace)) throw new TesseraError("BadRequest", `--grace-period "${grace}" is not a number of seconds`);
    return {
      files: flag.texts(flags["filename"]),
      force: flag.isSet(flags["force"]),
      gracePeriodSeconds: Number(grace) < 0 ? undefined : Number(grace),
      writing: parseWriting(flags),
      validation: flag.text(flags["validate"]) ?? "strict",
    };
  },
  validate: ({ files, force, gracePeriodSeconds, writing, validation }) => [
    ...(files.length === 0 ? ["say which files: tsctl replace -f FILE"] : []),
    ...(gracePeriodSeconds !== undefined && !force ? ["--grace-period is for --force"] : []),
    ...(force && writing.dryRun !== "none" ? ["--force deletes, so it cannot be tried with --dry-run"] : []),
    ...validationFaults(validation),
  ],
  run: async (options, context) => {
    const manifests = await readManifests(options.files, context.input);
    const faults = findFaults(manifests);
    if (faults.length > 0) throw manifestFault(faults);
    await context.cluster();
    return await forEachOf(
      manifests.map((manifest) => ({ manifest })),
      context,
      async ({ manifest }) => await replaceOne(manifest, options, context),
    );
  },
});

async function replaceOne(manifest: Manifest, options: ReplaceOptions, context: CommandContext): Promise<void> {
  const cluster = await context.cluster();
  const { resource, namespace } = await placeManifest(manifest, cluster);
  const name = nameIn(manifest, resource);
  const query = { ...writingQuery(options.writing), fieldValidation: fieldValidation(options.validation) };
  const { signal } = context;
  const tell = (object: ApiObject) => tellWritten(object, "replaced", resource, options.writing, context);
  if (!options.force) {
    if (options.writing.dryRun === "client") return await tell(manifest.object);
    const path = pathOf(resource, namespace, name);
    return await tell(await cluster.api.request<ApiObject>("PUT", path, { body: manifest.object, query, signal }));
  }
  const doomed = { resource, namespace, name };
  try {
    const uid = await requestDeletion(doomed, { gracePeriodSeconds: options.gracePeriodSeconds }, cluster, context);
    await context.out.write(`${displayName(resource)} "${name}" deleted\n`);
    const left = await waitUntilGone(doomed, uid, undefined, cluster, context);
    if (left !== undefined) throw new TesseraError("Timeout", left);
  } catch (error) {
    // There was nothing to replace: then it is made.
    if (!(error instanceof TesseraError) || error.reason !== "NotFound") throw error;
  }
  const { resourceVersion: _, uid: __, ...metadata } = manifest.object.metadata ?? {};
  const body = { ...manifest.object, metadata };
  await tell(await cluster.api.request<ApiObject>("POST", pathOf(resource, namespace), { body, query, signal }));
}

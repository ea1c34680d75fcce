import { TesseraError } from "@tessera/proto";
import { collect, defineCommand, flag } from "../command.ts";
import { createObject } from "../create/create-object.ts";
import { findFaults, manifestFault, readManifests } from "../manifest/read-manifests.ts";
import { declareValidation, declareWriting, fieldValidation, forEachOf, parseWriting, validationFaults, type Writing } from "../writing.ts";

interface CreateOptions {
  readonly files: readonly string[];
  readonly saveConfig: boolean;
  readonly writing: Writing;
  readonly validation: string;
}

export const createCommand = defineCommand<CreateOptions>({
  name: "create",
  summary: "Make objects of files, or of a few words",
  examples: `# What the files say; an object that is there already is an error
tsctl create -f examples/pod.yaml
# A name by the server: metadata.generateName
tsctl create -f job-pod.yaml -o name`,
  declare: (command) =>
    declareValidation(
      declareWriting(
        command
          .argument("[kind...]", "one of the commands below")
          .option("-f, --filename <path>", "file, folder, or - for stdin (repeatable)", collect),
      ),
    ).option("--save-config", "remember the file in the object, so that apply can change it later"),
  parse: (words, flags) => {
    if (words.length > 0)
      throw new TesseraError("BadRequest", `create ${words[0]} is not known; "tsctl create -f FILE" makes objects of every kind`);
    return {
      files: flag.texts(flags["filename"]),
      saveConfig: flag.isSet(flags["saveConfig"]),
      writing: parseWriting(flags),
      validation: flag.text(flags["validate"]) ?? "strict",
    };
  },
  validate: ({ files, validation }) => [
    ...(files.length === 0 ? ["say which files: tsctl create -f FILE, or what to make: tsctl create configmap NAME"] : []),
    ...validationFaults(validation),
  ],
  run: async (options, context) => {
    const manifests = await readManifests(options.files, context.input);
    const faults = findFaults(manifests);
    if (faults.length > 0) throw manifestFault(faults);
    await context.cluster();
    const { saveConfig, writing } = options;
    const validation = fieldValidation(options.validation);
    return await forEachOf(
      manifests.map((manifest) => ({ manifest })),
      context,
      async ({ manifest }) => {
        await createObject({ manifest, saveConfig, writing, validation }, context);
      },
    );
  },
});

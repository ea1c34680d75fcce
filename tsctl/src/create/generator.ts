import { TesseraError } from "@tessera/proto";
import type { Command } from "commander";
import type { ApiObject } from "../api/api.ts";
import { type AnyCommand, defineCommand } from "../command.ts";
import { declareWriting, parseWriting, type Writing } from "../writing.ts";
import { createObject, madeManifest } from "./create-object.ts";

type Flags = Readonly<Record<string, unknown>>;

/** `create KIND NAME`: an object of a few words. */
export interface Generator {
  /** "configmap" */
  readonly name: string;
  readonly aliases?: readonly string[];
  readonly summary: string;
  readonly examples: string;
  readonly declare?: (command: Command) => Command;
  readonly faults?: (flags: Flags) => readonly string[];
  /** Throws TesseraError "BadRequest" for what cannot be read. */
  readonly make: (name: string, flags: Flags) => Promise<ApiObject>;
}

export function defineGenerator({ name, aliases, summary, examples, declare, faults, make }: Generator): AnyCommand {
  return defineCommand<{ readonly words: readonly string[]; readonly flags: Flags; readonly writing: Writing }>({
    name: `create ${name}`,
    aliases,
    summary,
    examples,
    declare: (command) => {
      declareWriting(command.argument("<name>", "of the new object"));
      declare?.(command);
    },
    parse: (words, flags) => ({ words, flags, writing: parseWriting(flags) }),
    validate: ({ words, flags }) => [
      ...(words.length > 1 ? [`exactly one name is wanted, not ${words.join(", ")}`] : []),
      ...(flags["filename"] === undefined ? [] : [`-f is for "tsctl create" alone: a file says itself what it makes`]),
      ...(faults?.(flags) ?? []),
    ],
    run: async ({ words: [objectName = ""], flags, writing }, context) => {
      try {
        await createObject({ manifest: madeManifest(await make(objectName, flags)), writing, validation: "Strict" }, context);
        return 0;
      } catch (error) {
        if (error instanceof TesseraError && error.reason === "AlreadyExists")
          throw new TesseraError("AlreadyExists", `failed to create ${name.split(" ")[0]}: ${error.message}`, { cause: error });
        throw error;
      }
    },
  });
}

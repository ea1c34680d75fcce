import { TesseraError } from "@tessera/proto";
import type { Command } from "commander";
import type { ApiObject, Query } from "./api/api.ts";
import { type ApiResource, apiVersionOf, displayName } from "./api/discovery.ts";
import { type CommandContext, exitCode, flag } from "./command.ts";
import { describeError } from "./errors.ts";
import { explainRefusal } from "./manifest/explain-refusal.ts";
import type { Manifest } from "./manifest/read-manifests.ts";
import { type Format, formatValue, parseFormat } from "./print/format.ts";

/** What all commands that write objects have in common. */
export interface Writing {
  readonly format: Format;
  /** "client": nothing is sent. "server": the server does everything but store it. */
  readonly dryRun: "none" | "client" | "server";
}

export function declareWriting(command: Command): Command {
  return command
    .option("-o, --output <format>", "print the objects: json, yaml, name or jsonpath=TEMPLATE")
    .option("--dry-run <where>", 'change nothing: "client" prints what would be sent, "server" asks the server what it would do');
}

export function parseWriting(flags: Readonly<Record<string, unknown>>): Writing {
  const dryRun = flag.text(flags["dryRun"]) ?? "none";
  if (dryRun !== "none" && dryRun !== "client" && dryRun !== "server")
    throw new TesseraError("BadRequest", `--dry-run=${dryRun} is not known; it can be "client", "server" or "none"`);
  const format = parseFormat(flag.text(flags["output"]));
  if (format.as === "table" && format.wide) throw new TesseraError("BadRequest", "-o wide is for get");
  return { format, dryRun };
}

export function writingQuery({ dryRun }: Pick<Writing, "dryRun">): Query {
  return { dryRun: dryRun === "server" ? "All" : undefined, fieldManager: "tsctl" };
}

/** "pod/a created", or the object when it is asked for. */
export async function tellWritten(
  object: ApiObject,
  done: string,
  resource: ApiResource,
  { format, dryRun }: Writing,
  context: Pick<CommandContext, "out">,
): Promise<void> {
  if (format.as !== "table") {
    await context.out.write(formatValue({ apiVersion: apiVersionOf(resource), kind: resource.kind, ...object }, format));
    return;
  }
  const how = { none: "", client: " (dry run)", server: " (server dry run)" }[dryRun];
  await context.out.write(`${displayName(resource)}/${object.metadata?.name} ${done}${how}\n`);
}

/** Does it for each one. What fails is told, and the others are done all the same; returns the exit code. */
export async function forEachOf<T>(items: readonly T[], context: CommandContext, act: (item: T) => Promise<void>): Promise<number> {
  let code = 0;
  for (const item of items) {
    try {
      await act(item);
    } catch (error) {
      if (!(error instanceof TesseraError) || error.reason === "ServiceUnavailable") throw error;
      const manifest = (item as { readonly manifest?: Manifest }).manifest;
      await context.err.write(manifest === undefined ? describeError(error) : explainRefusal(error, manifest));
      code = exitCode.failed;
    }
  }
  return code;
}

/** For kubectl's --validate as the API calls it. */
export const fieldValidation = (how: string): string => ({ strict: "Strict", true: "Strict", warn: "Warn" })[how] ?? "Ignore";

export function declareValidation(command: Command): Command {
  return command.option("--validate <how>", "strict, warn or ignore: what to do about unknown fields", "strict");
}

export function validationFaults(validation: string): string[] {
  return ["strict", "warn", "ignore", "true", "false"].includes(validation)
    ? []
    : [`--validate=${validation} is not known; it can be strict, warn or ignore`];
}

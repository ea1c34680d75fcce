import { spawn } from "node:child_process";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isDeepStrictEqual } from "node:util";
import { TesseraError } from "@tessera/proto";
import type { ApiObject } from "../api/api.ts";
import { type CommandContext, collect, defineCommand, flag } from "../command.ts";
import { describeError } from "../errors.ts";
import { applyObject } from "../manifest/apply-object.ts";
import { explainRefusal } from "../manifest/explain-refusal.ts";
import { placeManifest } from "../manifest/placement.ts";
import { findFaults, type Manifest, manifestFault, readManifests } from "../manifest/read-manifests.ts";
import { toYaml } from "../print/format.ts";

interface DiffOptions {
  readonly files: readonly string[];
}

/** As kubectl says it: 1 means that there are differences, so a fault must be more. */
const faultCode = 2;

export const diffCommand = defineCommand<DiffOptions>({
  name: "diff",
  summary: "Show what an apply would change",
  examples: `# Nothing is changed; the exit code is 0 without differences, 1 with some, more for a fault
tsctl diff -f examples/pod.yaml`,
  declare: (command) => command.option("-f, --filename <path>", "file, folder, or - for stdin (repeatable)", collect),
  parse: (words, flags) => {
    if (words.length > 0) throw new TesseraError("BadRequest", `diff takes files with -f: tsctl diff -f ${words[0]}`);
    return { files: flag.texts(flags["filename"]) };
  },
  validate: ({ files }) => (files.length === 0 ? ["say which files: tsctl diff -f FILE"] : []),
  run: async ({ files }, context) => {
    const folder = await mkdtemp(join(tmpdir(), "tsctl-diff-"));
    try {
      const manifests = await readManifests(files, context.input);
      const faults = findFaults(manifests);
      if (faults.length > 0) throw manifestFault(faults);
      await Promise.all(["LIVE", "MERGED"].map(async (name) => await mkdir(join(folder, name))));
      for (const manifest of manifests) await writeBoth(manifest, folder, context);
      return await runDiff(folder, context);
    } catch (error) {
      if (!(error instanceof TesseraError)) throw error;
      await context.err.write(describeError(error));
      return faultCode;
    } finally {
      await rm(folder, { recursive: true });
    }
  },
});

/** The object as it is and as it would be, as files of one name in two folders. */
async function writeBoth(manifest: Manifest, folder: string, context: CommandContext): Promise<void> {
  const cluster = await context.cluster();
  const placement = await placeManifest(manifest, cluster);
  const query = { dryRun: "All", fieldManager: "tsctl", fieldValidation: "Strict" };
  const { object, before } = await applyObject(manifest.object, { ...placement, query, cluster, signal: context.signal }).catch((error) => {
    if (!(error instanceof TesseraError) || error.causes.length === 0) throw error;
    throw new TesseraError(
      error.reason,
      explainRefusal(error, manifest)
        .trimEnd()
        .replace(/^error: /, ""),
      { cause: error },
    );
  });
  const { group, version, kind } = placement.resource;
  const name = [group, version, kind, placement.namespace, object.metadata?.name].filter(Boolean).join(".");
  const [live, merged] = masked(before, object);
  if (live !== undefined) await writeFile(join(folder, "LIVE", name), toYaml(live), { mode: 0o600 });
  await writeFile(join(folder, "MERGED", name), toYaml(merged), { mode: 0o600 });
}

/** What a Secret holds is not for the screen: only that it changes. */
function masked(before: ApiObject | undefined, after: ApiObject): [ApiObject | undefined, ApiObject] {
  if (after.kind !== "Secret" && before?.kind !== "Secret") return [before, after];
  const [old, young] = [before, after].map((object) => (object?.["data"] ?? {}) as Record<string, string>) as [
    Record<string, string>,
    Record<string, string>,
  ];
  const mask = (own: Record<string, string>, other: Record<string, string>, when: string) =>
    Object.fromEntries(
      Object.entries(own).map(([key, value]) => [key, isDeepStrictEqual(value, other[key]) || !(key in other) ? "***" : `*** (${when})`]),
    );
  return [
    before && { ...withoutLast(before), data: mask(old, young, "before") },
    { ...withoutLast(after), data: mask(young, old, "after") },
  ];
}

/** The annotation of apply repeats the values. */
function withoutLast(object: ApiObject): ApiObject {
  const annotations = Object.entries(object.metadata?.annotations ?? {}).map(([key, value]) => [
    key,
    key === "kubectl.kubernetes.io/last-applied-configuration" ? "***" : value,
  ]);
  return { ...object, metadata: { ...object.metadata, annotations: Object.fromEntries(annotations) } };
}

async function runDiff(folder: string, context: CommandContext): Promise<number> {
  const [program = "diff", ...words] = context.settings.diff.split(" ").filter(Boolean);
  const child = spawn(program, [...words, "LIVE", "MERGED"], { cwd: folder, stdio: ["ignore", "pipe", "pipe"], signal: context.signal });
  const ended = new Promise<number>((resolve, reject) => {
    child.once("error", (cause) => reject(new TesseraError("InternalError", `${program} cannot be run: ${cause.message}`, { cause })));
    child.once("close", (code) => resolve(code ?? faultCode));
  });
  const pass = async (from: AsyncIterable<Uint8Array>, to: CommandContext["out"]) => {
    for await (const chunk of from) await to.write(chunk);
  };
  const [code] = await Promise.all([ended, pass(child.stdout, context.out), pass(child.stderr, context.err)]);
  return code;
}

import { mergeRules, schemaOf, TesseraError } from "@tessera/proto";
import type { ApiObject } from "../api/api.ts";
import { type ApiResource, displayName, pathOf } from "../api/discovery.ts";
import { type ClusterContext, type CommandContext, collect, defineCommand, flag } from "../command.ts";
import { explainRefusal } from "../manifest/explain-refusal.ts";
import { findFaults, type Manifest, manifestFault, readManifests } from "../manifest/read-manifests.ts";
import { threeWayPatch } from "../manifest/three-way-patch.ts";
import { type Format, formatValue, parseFormat } from "../print/format.ts";

/** Where kubectl keeps what was applied last: with the same annotation, both can be used on one object. */
export const lastAppliedAnnotation = "kubectl.kubernetes.io/last-applied-configuration";

interface ApplyOptions {
  readonly files: readonly string[];
  readonly format: Format;
  readonly dryRun: boolean;
  readonly validation: string;
}

/** How often an apply starts again when somebody else changes the same object. */
const maxAttempts = 5;

export const applyCommand = defineCommand<ApplyOptions>({
  name: "apply",
  summary: "Make objects as files say, or change them accordingly",
  examples: `# Make or change what the file says
tsctl apply -f examples/pod.yaml
# A whole folder, and what another program prints
tsctl apply -f manifests/ -f -`,
  declare: (command) =>
    command
      .option("-f, --filename <path>", "file, folder, or - for stdin (repeatable)", collect)
      .option("-o, --output <format>", "print the objects: json, yaml, name or jsonpath=TEMPLATE")
      .option("--dry-run <where>", '"server": ask the server what it would do, but change nothing')
      .option("--validate <how>", "strict, warn or ignore: what to do about unknown fields", "strict"),
  parse: (words, flags) => {
    if (words.length > 0) throw new TesseraError("BadRequest", `apply takes files with -f: tsctl apply -f ${words[0]}`);
    const dryRun = flag.text(flags["dryRun"]) ?? "none";
    if (!["none", "server"].includes(dryRun))
      throw new TesseraError("BadRequest", `--dry-run=${dryRun} is not known; it can be "server" or "none"`);
    return {
      files: flag.texts(flags["filename"]),
      format: parseFormat(flag.text(flags["output"])),
      dryRun: dryRun === "server",
      validation: flag.text(flags["validate"]) ?? "strict",
    };
  },
  validate: ({ files, validation, format }) => [
    ...(files.length === 0 ? ["say which files to apply: tsctl apply -f FILE"] : []),
    ...(["strict", "warn", "ignore", "true", "false"].includes(validation)
      ? []
      : [`--validate=${validation} is not known; it can be strict, warn or ignore`]),
    ...(format.as === "table" && format.wide ? ["-o wide is for get"] : []),
  ],
  run: async (options, context) => {
    const manifests = await readManifests(options.files, context.input);
    const faults = findFaults(manifests);
    if (faults.length > 0) throw manifestFault(faults);
    const cluster = await context.cluster();
    let code = 0;
    for (const manifest of manifests) {
      try {
        await applyManifest(manifest, options, cluster, context);
      } catch (error) {
        // The others are applied all the same; the last word is that something failed.
        if (!(error instanceof TesseraError) || error.reason === "ServiceUnavailable") throw error;
        await context.err.write(explainRefusal(error, manifest));
        code = 1;
      }
    }
    return code;
  },
});

async function applyManifest(manifest: Manifest, options: ApplyOptions, cluster: ClusterContext, context: CommandContext): Promise<void> {
  const resource = await resourceOf(manifest, cluster);
  const namespace = namespaceOf(manifest, resource, cluster);
  for (let attempt = 1; ; attempt++) {
    try {
      const { object, done } = await applyOnce(manifest.object, { resource, namespace, options, cluster, signal: context.signal });
      await tell(object, done, resource, options, context);
      return;
    } catch (error) {
      // Somebody made it, removed it or changed it between our two requests.
      const isRace =
        error instanceof TesseraError && ["AlreadyExists", "Conflict", "NotFound"].includes(error.reason) && attempt < maxAttempts;
      if (!isRace || (error.reason === "NotFound" && error.details.kind === "namespaces")) throw error;
    }
  }
}

async function resourceOf({ object }: Manifest, cluster: ClusterContext): Promise<ApiResource> {
  const resource = (await cluster.discovery()).ofKind(object.apiVersion ?? "", object.kind ?? "");
  if (resource !== undefined) return resource;
  const message = `the server has no kind "${object.kind}" in ${object.apiVersion}; "tsctl api-resources" shows those it has`;
  throw new TesseraError("Invalid", message, { causes: [{ reason: "FieldValueNotSupported", field: "kind", message }] });
}

function namespaceOf({ object }: Manifest, resource: ApiResource, cluster: ClusterContext): string | undefined {
  if (!resource.namespaced) return undefined;
  const own = object.metadata?.namespace;
  if (own === undefined || own === "" || !cluster.namespaceIsForced || own === cluster.namespace) return own || cluster.namespace;
  const message = `the manifest says "${own}", the command line -n ${cluster.namespace}`;
  throw new TesseraError("Invalid", message, { causes: [{ reason: "FieldValueInvalid", field: "metadata.namespace", message }] });
}

interface Applying {
  readonly resource: ApiResource;
  readonly namespace: string | undefined;
  readonly options: ApplyOptions;
  readonly cluster: ClusterContext;
  readonly signal: AbortSignal;
}

type Done = "created" | "configured" | "unchanged";

async function applyOnce(manifest: ApiObject, applying: Applying): Promise<{ object: ApiObject; done: Done }> {
  const { resource, namespace, cluster, signal } = applying;
  const { api } = cluster;
  const wanted = withLastApplied(manifest, namespace);
  const name = manifest.metadata?.name;
  const current = name === undefined ? undefined : await readOrUndefined(applying, name);
  const query = {
    fieldValidation: fieldValidation(applying.options.validation),
    dryRun: applying.options.dryRun ? "All" : undefined,
    fieldManager: "tsctl",
  };
  if (current === undefined || name === undefined) {
    return { object: await api.request<ApiObject>("POST", pathOf(resource, namespace), { body: wanted, query, signal }), done: "created" };
  }
  const schema = schemaOf({ group: resource.group, version: resource.version, kind: resource.kind });
  const rules = schema === undefined ? { ruleOf: () => replaceLists } : mergeRules(schema);
  const patch = threeWayPatch(readLastApplied(current), wanted as Record<string, unknown>, current, rules);
  if (Object.keys(patch).length === 0) return { object: current, done: "unchanged" };
  const contentType = schema === undefined ? "application/merge-patch+json" : "application/strategic-merge-patch+json";
  const object = await api.request<ApiObject>("PATCH", pathOf(resource, namespace, name), { body: patch, query, contentType, signal });
  return { object, done: object.metadata?.resourceVersion === current.metadata?.resourceVersion ? "unchanged" : "configured" };
}

/** Kinds that this tsctl has no schema of: objects merge, lists are replaced, as a JSON merge patch says. */
const replaceLists = { how: "object" as const, rules: { ruleOf: () => replaceLists }, retainKeys: false };

async function readOrUndefined({ resource, namespace, cluster, signal }: Applying, name: string): Promise<ApiObject | undefined> {
  try {
    return await cluster.api.request<ApiObject>("GET", pathOf(resource, namespace, name), { signal });
  } catch (error) {
    if (error instanceof TesseraError && error.reason === "NotFound") return undefined;
    throw error;
  }
}

const fieldValidation = (how: string): string => ({ strict: "Strict", true: "Strict", warn: "Warn" })[how] ?? "Ignore";

/** The object with the annotation that remembers it, as kubectl writes it: JSON with sorted keys and without the annotation itself. */
function withLastApplied(manifest: ApiObject, namespace: string | undefined): ApiObject {
  const { [lastAppliedAnnotation]: _, ...annotations } = manifest.metadata?.annotations ?? {};
  const metadata = { ...manifest.metadata, ...(namespace === undefined ? {} : { namespace }), annotations };
  const plain = { ...manifest, metadata };
  return {
    ...plain,
    metadata: { ...metadata, annotations: { ...annotations, [lastAppliedAnnotation]: `${JSON.stringify(sortKeys(plain))}\n` } },
  };
}

function sortKeys(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sortKeys);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).sort(([one], [other]) => (one < other ? -1 : 1));
  return Object.fromEntries(entries.map(([key, each]) => [key, sortKeys(each)]));
}

/** Nothing, when it was never applied or the annotation is broken: then nothing is removed either. */
function readLastApplied(current: ApiObject): Record<string, unknown> {
  try {
    const value = JSON.parse(current.metadata?.annotations?.[lastAppliedAnnotation] ?? "{}");
    return typeof value === "object" && value !== null ? value : {};
  } catch {
    return {};
  }
}

async function tell(
  object: ApiObject,
  done: Done,
  resource: ApiResource,
  { format, dryRun }: ApplyOptions,
  context: CommandContext,
): Promise<void> {
  if (format.as === "table") {
    await context.out.write(`${displayName(resource)}/${object.metadata?.name} ${done}${dryRun ? " (server dry run)" : ""}\n`);
  } else {
    await context.out.write(formatValue({ apiVersion: object.apiVersion, kind: object.kind, ...object }, format));
  }
  if (object.metadata?.deletionTimestamp !== undefined) {
    await context.err.write(`note: ${displayName(resource)}/${object.metadata.name} is being deleted; apply it again once it is gone\n`);
  }
}

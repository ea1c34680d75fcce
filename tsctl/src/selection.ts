import type { Command } from "commander";
import type { ApiList, ApiObject } from "./api/api.ts";
import { type ApiResource, displayName, pathOf } from "./api/discovery.ts";
import { type ClusterContext, type CommandContext, collect, flag } from "./command.ts";
import { nameIn, placeManifest } from "./manifest/placement.ts";
import { type Manifest, readManifests } from "./manifest/read-manifests.ts";
import { parseTargetWords, resolveTargets, type TargetWords } from "./targets.ts";

/** Which objects a command that changes objects is about. */
export interface Selection {
  readonly words?: TargetWords;
  readonly files: readonly string[];
  readonly selector?: string;
  readonly fieldSelector?: string;
  readonly all: boolean;
  readonly allNamespaces: boolean;
}

/** One object that was chosen. */
export interface Chosen {
  readonly resource: ApiResource;
  readonly namespace: string | undefined;
  readonly name: string;
  /** When a file named it. */
  readonly manifest?: Manifest;
}

export function declareSelection(command: Command): Command {
  return command
    .option("-f, --filename <path>", "the objects of a file, a folder, or - for stdin (repeatable)", collect)
    .option("-l, --selector <labels>", "all objects with these labels")
    .option("--field-selector <fields>", "all objects with these fields")
    .option("--all", "all objects of the type in the namespace")
    .option("-A, --all-namespaces", "with --all or a selector: in all namespaces");
}

export function parseSelection(words: readonly string[], flags: Readonly<Record<string, unknown>>, verb: string): Selection {
  return {
    words: words.length > 0 ? parseTargetWords(words, verb) : undefined,
    files: flag.texts(flags["filename"]),
    selector: flag.text(flags["selector"]),
    fieldSelector: flag.text(flags["fieldSelector"]),
    all: flag.isSet(flags["all"]),
    allNamespaces: flag.isSet(flags["allNamespaces"]),
  };
}

/** What is wrong with it. Nothing is chosen by saying nothing: a type alone needs --all. */
export function selectionFaults({ words, files, selector, fieldSelector, all, allNamespaces }: Selection, verb: string): string[] {
  const hasNames = words?.form === "pairs" || (words?.names.length ?? 0) > 0;
  const chooses = selector !== undefined || fieldSelector !== undefined || all;
  const faults: string[] = [];
  if (words === undefined && files.length === 0) faults.push(`say what to ${verb}: tsctl ${verb} TYPE NAME, or -f FILE`);
  if (words !== undefined && files.length > 0) faults.push("give either -f or names, not both");
  if (words !== undefined && !hasNames && !chooses) faults.push("say which: NAME..., -l LABELS or --all");
  if (hasNames && chooses) faults.push("give either names or -l, --field-selector and --all, not both");
  if (all && selector !== undefined) faults.push("give either --all or -l, not both");
  if (hasNames && allNamespaces) faults.push("a named object is in one namespace: leave -A out, or the name");
  return faults;
}

/** The objects that are meant; those of files and names without asking whether they exist. */
export async function findChosen(selection: Selection, cluster: ClusterContext, context: CommandContext): Promise<Chosen[]> {
  if (selection.words === undefined) {
    const manifests = await readManifests(selection.files, context.input);
    return await Promise.all(
      manifests.map(async (manifest) => {
        const placement = await placeManifest(manifest, cluster);
        return { ...placement, name: nameIn(manifest, placement.resource), manifest };
      }),
    );
  }
  const chosen: Chosen[] = [];
  for (const { resource, name } of resolveTargets(selection.words, await cluster.discovery())) {
    const namespace = resource.namespaced ? cluster.namespace : undefined;
    if (name !== undefined) {
      chosen.push({ resource, namespace, name });
      continue;
    }
    const query = { labelSelector: selection.selector, fieldSelector: selection.fieldSelector };
    const path = pathOf(resource, selection.allNamespaces ? undefined : namespace);
    const list = await cluster.api.request<ApiList<ApiObject>>("GET", path, { query, signal: context.signal });
    for (const { metadata } of list.items ?? [])
      if (metadata?.name !== undefined) chosen.push({ resource, namespace: metadata.namespace, name: metadata.name });
  }
  return chosen;
}

/** "pod/a" */
export function titleOf({ resource, name }: Pick<Chosen, "resource" | "name">): string {
  return `${displayName(resource)}/${name}`;
}

export function pathTo({ resource, namespace, name }: Chosen): string {
  return pathOf(resource, namespace, name);
}

import type { Command, Option } from "commander";
import type { ApiList, ApiObject } from "./api/api.ts";
import { displayName, pathOf } from "./api/discovery.ts";
import type { ClusterContext } from "./command.ts";

/** Commands whose words are types and names, or names of pods. */
const takesTypes = new Set(["get", "describe", "delete", "wait", "explain", "edit", "patch", "label", "annotate"]);
const takesNodes = new Set(["top node", "cordon", "uncordon", "drain"]);
const takesPods = new Set(["logs", "exec", "why", "top pod"]);

/**
 * What may stand in place of the last word. Asks the cluster only for what only it knows; when it does not answer, there is simply
 * nothing to offer.
 */
export async function complete(words: readonly string[], program: Command, cluster: () => Promise<ClusterContext>): Promise<string[]> {
  const before = words.slice(0, -1);
  const typed = words.at(-1) ?? "";
  const { command, rest } = findCommand(program, before);
  if (before.includes("--")) return [];
  const pending = pendingOption(command, program, before.at(-1));
  if (pending !== undefined) return startingWith(typed, await optionValues(pending, cluster));
  if (typed.startsWith("-")) return startingWith(typed, flagsOf(command, program));
  if (command.commands.length > 0)
    return startingWith(
      typed,
      command.commands.filter((each) => !each.name().startsWith("_")).map((each) => each.name()),
    );
  return startingWith(typed, await argumentValues(command, withoutFlags(rest, command, program), typed, cluster));
}

const startingWith = (typed: string, candidates: readonly string[]): string[] =>
  candidates.filter((candidate) => candidate.startsWith(typed));

function findCommand(program: Command, words: readonly string[]): { command: Command; rest: readonly string[] } {
  let command = program;
  let rest = words;
  for (let index = 0; index < words.length; index++) {
    const next = command.commands.find((each) => each.name() === words[index] || each.aliases().includes(words[index] ?? ""));
    if (next === undefined) continue;
    command = next;
    rest = words.slice(index + 1);
  }
  return { command, rest };
}

const optionsOf = (command: Command, program: Command): readonly Option[] => [...command.options, ...program.options];

function pendingOption(command: Command, program: Command, last: string | undefined): Option | undefined {
  if (last === undefined) return undefined;
  return optionsOf(command, program).find((option) => option.required && (option.long === last || option.short === last));
}

function flagsOf(command: Command, program: Command): string[] {
  return optionsOf(command, program).flatMap((option) => (option.hidden || option.long === undefined ? [] : [option.long]));
}

function withoutFlags(words: readonly string[], command: Command, program: Command): string[] {
  return words.filter((word, index) => !word.startsWith("-") && pendingOption(command, program, words[index - 1]) === undefined);
}

async function optionValues(option: Option, cluster: () => Promise<ClusterContext>): Promise<string[]> {
  if (option.argChoices !== undefined) return [...option.argChoices];
  switch (option.long) {
    case "--namespace":
      return await names("namespaces", cluster);
    case "--node":
      return await names("nodes", cluster);
    case "--output":
      return ["wide", "json", "yaml", "name", "jsonpath="];
    default:
      return [];
  }
}

async function argumentValues(
  command: Command,
  earlier: readonly string[],
  typed: string,
  cluster: () => Promise<ClusterContext>,
): Promise<string[]> {
  const name = command.parent === null || command.parent.parent === null ? command.name() : `${command.parent.name()} ${command.name()}`;
  if (name === "completion") return ["bash", "zsh", "fish"];
  if (takesNodes.has(name)) return earlier.length === 0 ? await names("nodes", cluster) : [];
  if (takesPods.has(name)) return earlier.length === 0 ? await names("pods", cluster) : [];
  if (!takesTypes.has(name)) return [];
  const [type] = earlier;
  const slash = typed.indexOf("/");
  if (slash > 0) return (await names(typed.slice(0, slash), cluster)).map((name) => `${typed.slice(0, slash + 1)}${name}`);
  if (type === undefined || type.includes("/")) return await types(cluster);
  return name === "explain" ? [] : await names(type, cluster);
}

async function types(cluster: () => Promise<ClusterContext>): Promise<string[]> {
  const { resources } = await (await cluster()).discovery();
  return resources
    .flatMap((resource) => [resource.group === "" ? resource.plural : `${resource.plural}.${resource.group}`, displayName(resource)])
    .sort();
}

async function names(type: string, cluster: () => Promise<ClusterContext>): Promise<string[]> {
  const { api, namespace, discovery } = await cluster();
  const resource = (await discovery()).find(type);
  const list = await api.request<ApiList<ApiObject>>("GET", pathOf(resource, namespace));
  return (list.items ?? []).flatMap((item) => item.metadata?.name ?? []);
}

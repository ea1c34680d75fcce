import type { Node } from "@tessera/proto";
import type { ApiList } from "./api/api.ts";
import { type CommandContext, flag } from "./command.ts";

/** Which nodes a command is about. */
export interface NodeChoice {
  readonly names: readonly string[];
  readonly selector?: string;
}

export function parseNodeChoice(words: readonly string[], flags: Readonly<Record<string, unknown>>): NodeChoice {
  return { names: words.map((word) => word.replace(/^(no|nodes?)\//, "")), selector: flag.text(flags["selector"]) };
}

export function nodeChoiceFaults({ names, selector }: NodeChoice, verb: string): string[] {
  if (names.length === 0 && selector === undefined) return [`say which node to ${verb}: tsctl ${verb} NODE, or -l LABELS`];
  return names.length > 0 && selector !== undefined ? ["give either names or -l, not both"] : [];
}

/** Throws TesseraError "NotFound" before anything is changed, when one of several is not there. */
export async function chooseNodes({ names, selector }: NodeChoice, context: CommandContext): Promise<Node[]> {
  const { api } = await context.cluster();
  const { signal } = context;
  if (selector !== undefined) {
    const list = await api.request<ApiList<Node>>("GET", "/api/v1/nodes", { query: { labelSelector: selector }, signal });
    return list.items ?? [];
  }
  return await Promise.all(
    names.map(async (name) => await api.request<Node>("GET", `/api/v1/nodes/${encodeURIComponent(name)}`, { signal })),
  );
}

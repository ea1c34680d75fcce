import type { Node } from "@tessera/proto";
import type { ApiObject } from "../api/api.ts";
import { type AnyCommand, type CommandContext, defineCommand, flag } from "../command.ts";
import { patchTypes } from "../manifest/change.ts";
import { chooseNodes, type NodeChoice, nodeChoiceFaults, parseNodeChoice } from "../nodes.ts";
import { forEachOf, parseWriting, tellWritten, type Writing, writingQuery } from "../writing.ts";

interface CordonOptions {
  readonly nodes: NodeChoice;
  readonly writing: Writing;
}

function defineCordon(verb: "cordon" | "uncordon", summary: string, examples: string): AnyCommand {
  return defineCommand<CordonOptions>({
    name: verb,
    summary,
    examples,
    declare: (command) =>
      command
        .argument("[node...]", "names of nodes")
        .option("-l, --selector <labels>", "all nodes with these labels")
        .option("--dry-run <where>", 'change nothing: "client" or "server"'),
    parse: (words, flags) => ({ nodes: parseNodeChoice(words, flags), writing: parseWriting({ dryRun: flag.text(flags["dryRun"]) }) }),
    validate: ({ nodes }) => nodeChoiceFaults(nodes, verb),
    run: async ({ nodes, writing }, context) =>
      await forEachOf(await chooseNodes(nodes, context), context, async (node) => {
        await setSchedulable(node, verb === "uncordon", writing, context);
      }),
  });
}

/** Says whether new pods may go to the node, and tells what was done. */
export async function setSchedulable(node: Node, schedulable: boolean, writing: Writing, context: CommandContext): Promise<void> {
  const { api, discovery } = await context.cluster();
  const resource = (await discovery()).find("nodes");
  const verb = schedulable ? "uncordoned" : "cordoned";
  if ((node.spec?.unschedulable ?? false) === !schedulable) {
    await tellWritten(node as ApiObject, `already ${verb}`, resource, writing, context);
    return;
  }
  if (writing.dryRun !== "client") {
    await api.request("PATCH", `/api/v1/nodes/${encodeURIComponent(node.metadata?.name ?? "")}`, {
      body: { spec: { unschedulable: schedulable ? null : true } },
      contentType: patchTypes.merge,
      query: writingQuery(writing),
      signal: context.signal,
    });
  }
  await tellWritten(node as ApiObject, verb, resource, writing, context);
}

export const cordonCommand = defineCordon(
  "cordon",
  "Let no new pods go to nodes",
  `# What runs there stays there
tsctl cordon node-1`,
);

export const uncordonCommand = defineCordon(
  "uncordon",
  "Let new pods go to nodes again",
  `# After a drain
tsctl uncordon node-1`,
);

import { isCancellation, type Node, TesseraError } from "@tessera/proto";
import type { Api, ApiList } from "../api/api.ts";
import { type AnyCommand, type CommandContext, collect, defineCommand, flag } from "../command.ts";

interface ImageRemoveOptions {
  /** Empty: all that no pod uses. */
  readonly images: readonly string[];
  /** Empty: all nodes. */
  readonly nodes: readonly string[];
}

export const imageRmCommand: AnyCommand = defineCommand<ImageRemoveOptions>({
  name: "image rm",
  aliases: ["remove"],
  summary: "Remove images from the nodes",
  examples: `# From all nodes that hold it; an image that a pod uses stays
tsctl image rm tessera.local/busybox:1
tsctl image rm --node node-1 sha256:...`,
  declare: (command) =>
    command.argument("<image...>", "names, digests or ids").option("--node <name>", "only from this node (repeatable)", collect),
  parse: (images, flags) => ({ images, nodes: flag.texts(flags["node"]) }),
  run: removeImages,
});

export const imagePruneCommand: AnyCommand = defineCommand<ImageRemoveOptions>({
  name: "image prune",
  summary: "Remove the images that no pod uses",
  examples: `tsctl image prune
tsctl image prune --node node-1`,
  declare: (command) => command.option("--node <name>", "only from this node (repeatable)", collect),
  parse: (_words, flags) => ({ images: [], nodes: flag.texts(flags["node"]) }),
  run: removeImages,
});

/** A node that fails keeps no other from being cleared; one that never had the image is no failure unless all are so. */
async function removeImages({ images, nodes }: ImageRemoveOptions, context: CommandContext): Promise<number> {
  const { api } = await context.cluster();
  const targets = nodes.length > 0 ? nodes : await listNodes(api, context);
  const results = await Promise.all(targets.map((node) => removeFrom(node, images, api, context)));
  const missing = results.filter(({ error }) => error instanceof TesseraError && error.reason === "NotFound");
  let code = 0;
  for (const { node, removed, error } of results) {
    for (const image of removed) await context.out.write(`${node}: ${image}\n`);
    if (error === undefined || (missing.some((one) => one.node === node) && missing.length < results.length)) continue;
    await context.err.write(`error: ${node}: ${error.message}\n`);
    code = 1;
  }
  if (code === 0 && results.every(({ removed }) => removed.length === 0)) await context.err.write("No images removed\n");
  return code;
}

interface Result {
  readonly node: string;
  readonly removed: readonly string[];
  readonly error?: Error;
}

async function removeFrom(node: string, images: readonly string[], api: Api, context: CommandContext): Promise<Result> {
  const query = new URLSearchParams(images.map((image): [string, string] => ["image", image]));
  const path = `/api/v1/nodes/${encodeURIComponent(node)}/images${images.length > 0 ? `?${query}` : ""}`;
  try {
    const answer = await api.request<{ images?: string[] }>("DELETE", path, { signal: context.signal });
    return { node, removed: answer.images ?? [] };
  } catch (error) {
    if (isCancellation(error) || !(error instanceof Error)) throw error;
    return { node, removed: [], error };
  }
}

async function listNodes(api: Api, context: CommandContext): Promise<string[]> {
  const list = await api.request<ApiList<Node>>("GET", "/api/v1/nodes", { signal: context.signal });
  return (list.items ?? []).flatMap((node) => node.metadata?.name ?? []);
}

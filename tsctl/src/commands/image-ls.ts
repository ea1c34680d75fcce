import type { Node } from "@tessera/proto";
import type { ApiList } from "../api/api.ts";
import { defineCommand, flag } from "../command.ts";
import { formatBytes, imageName } from "../describe/node.ts";
import { formatColumns } from "../print/columns.ts";

interface ImageLsOptions {
  readonly node?: string;
  readonly json: boolean;
  readonly noHeaders: boolean;
}

export const imageLsCommand = defineCommand<ImageLsOptions>({
  name: "image ls",
  aliases: ["list"],
  summary: "Show the images that the nodes hold",
  examples: `tsctl image ls
tsctl image ls --node node-1 -o json`,
  declare: (command) =>
    command.option("--node <name>", "only of this node").option("-o, --output <format>", '"json"').option("--no-headers", "rows only"),
  parse: (_words, flags) => ({ node: flag.text(flags["node"]), json: flags["output"] === "json", noHeaders: flags["headers"] === false }),
  run: async (options, context) => {
    const { api } = await context.cluster();
    const fieldSelector = options.node === undefined ? undefined : `metadata.name=${options.node}`;
    const list = await api.request<ApiList<Node>>("GET", "/api/v1/nodes", { query: { fieldSelector }, signal: context.signal });
    const images = collectImages(list.items ?? []);
    if (options.json) {
      await context.out.write(`${JSON.stringify(images, null, 4)}\n`);
      return 0;
    }
    const rows = images.map((image) => [image.name, formatBytes(image.sizeBytes), image.nodes.join(",")]);
    if (rows.length === 0) await context.err.write("No images\n");
    else await context.out.write(formatColumns(options.noHeaders ? rows : [["IMAGE", "SIZE", "NODES"], ...rows]));
    return 0;
  },
});

interface HeldImage {
  readonly name: string;
  readonly sizeBytes: number;
  readonly nodes: string[];
}

function collectImages(nodes: readonly Node[]): HeldImage[] {
  const images = new Map<string, HeldImage>();
  for (const node of nodes) {
    for (const image of node.status?.images ?? []) {
      const name = imageName(image);
      const held = images.get(name) ?? { name, sizeBytes: Number(image.sizeBytes ?? 0), nodes: [] };
      held.nodes.push(node.metadata?.name ?? "");
      images.set(name, held);
    }
  }
  return [...images.values()].sort((one, other) => one.name.localeCompare(other.name));
}

import { spawn } from "node:child_process";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { type Readable, Transform } from "node:stream";
import { isCancellation, type Node, TesseraError } from "@tessera/proto";
import type { Api, ApiList } from "../api/api.ts";
import { type CommandContext, collect, defineCommand, flag } from "../command.ts";
import { formatBytes } from "../describe/node.ts";

interface ImageLoadOptions {
  readonly file: string;
  /** Empty: all nodes. */
  readonly nodes: readonly string[];
}

export const imageLoadCommand = defineCommand<ImageLoadOptions>({
  name: "image load",
  summary: "Bring the images of a file onto the nodes",
  examples: `# What "docker save" wrote, or an OCI layout: onto all nodes
tsctl image load image.tar
# Onto one node
tsctl image load --node node-1 image.tar`,
  declare: (command) =>
    command
      .argument("<file>", "archive of docker save or of an OCI layout, or the folder of an OCI layout")
      .option("--node <name>", "only onto this node (repeatable)", collect),
  parse: ([file = ""], flags) => ({ file, nodes: flag.texts(flags["node"]) }),
  run: async ({ file, nodes }, context) => {
    const source = await openSource(file);
    const { api } = await context.cluster();
    const targets = nodes.length > 0 ? nodes : await listNodes(api, context);
    const progress = new UploadProgress(context, targets, source.size);
    const results = await Promise.all(targets.map(async (node) => await loadOnto(node, source, api, progress, context)));
    progress.end();
    let code = 0;
    for (const result of results) {
      if ("error" in result) {
        await context.err.write(`error: ${result.node}: ${result.error.message}\n`);
        code = 1;
      } else for (const image of result.images) await context.out.write(`${result.node}: ${image}\n`);
    }
    return code;
  },
});

interface Source {
  readonly open: () => Readable;
  /** Undefined: not known beforehand. */
  readonly size: number | undefined;
}

async function openSource(file: string): Promise<Source> {
  const info = await stat(file).catch((cause) => {
    throw new TesseraError("NotFound", `there is no file ${file}`, { cause });
  });
  if (!info.isDirectory()) return { open: () => createReadStream(file, { highWaterMark: 256 * 1024 }), size: info.size };
  await stat(`${file}/oci-layout`).catch((cause) => {
    throw new TesseraError("BadRequest", `the folder ${file} is no OCI layout: it holds no file "oci-layout"`, { cause });
  });
  return { open: () => spawn("tar", ["-C", file, "-cf", "-", "."], { stdio: ["ignore", "pipe", "inherit"] }).stdout, size: undefined };
}

async function listNodes(api: Api, context: CommandContext): Promise<string[]> {
  const list = await api.request<ApiList<Node>>("GET", "/api/v1/nodes", { signal: context.signal });
  const names = (list.items ?? []).flatMap((node) => node.metadata?.name ?? []);
  if (names.length === 0) throw new TesseraError("NotFound", "the cluster has no nodes to bring images to");
  return names;
}

type Result = { readonly node: string; readonly images: readonly string[] } | { readonly node: string; readonly error: Error };

/** A node that fails does not keep the others from getting the image. */
async function loadOnto(node: string, source: Source, api: Api, progress: UploadProgress, context: CommandContext): Promise<Result> {
  const stream = source.open();
  try {
    const path = `/api/v1/nodes/${encodeURIComponent(node)}/images`;
    const counted = stream.pipe(progress.counter(node));
    stream.on("error", (error) => counted.destroy(error));
    const answer = await api.request<{ images?: string[] }>("POST", path, {
      stream: counted,
      contentType: "application/x-tar",
      signal: context.signal,
    });
    return { node, images: answer.images ?? [] };
  } catch (error) {
    if (isCancellation(error) || !(error instanceof Error)) throw error;
    return { node, error };
  } finally {
    stream.destroy();
  }
}

/** One line on the terminal; nothing elsewhere. */
class UploadProgress {
  readonly #context: CommandContext;
  readonly #sent = new Map<string, number>();
  readonly #size: number | undefined;
  #shownAt = 0;

  constructor(context: CommandContext, nodes: readonly string[], size: number | undefined) {
    this.#context = context;
    this.#size = size;
    for (const node of nodes) this.#sent.set(node, 0);
  }

  counter(node: string): Transform {
    return new Transform({
      transform: (chunk: Buffer, _encoding, done) => {
        this.#sent.set(node, (this.#sent.get(node) ?? 0) + chunk.length);
        this.#show();
        done(undefined, chunk);
      },
    });
  }

  end(): void {
    if (this.#context.err.isTerminal && this.#shownAt > 0) void this.#context.err.write("\r\x1b[K");
  }

  #show(): void {
    const now = this.#context.clock.now();
    if (!this.#context.err.isTerminal || now - this.#shownAt < 100) return;
    this.#shownAt = now;
    const parts = [...this.#sent].map(
      ([node, sent]) => `${node} ${this.#size ? `${Math.floor((sent / this.#size) * 100)}%` : formatBytes(sent)}`,
    );
    void this.#context.err.write(`\r\x1b[K  ${parts.join("  ")}`.slice(0, (this.#context.err.columns ?? 80) + 3));
  }
}

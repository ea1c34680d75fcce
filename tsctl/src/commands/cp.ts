import { createWriteStream } from "node:fs";
import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { pipeline } from "node:stream/promises";
import { isCancellation, TesseraError } from "@tessera/proto";
import { type CommandContext, defineCommand, flag } from "../command.ts";
import { readArchive } from "../copy/archive.ts";
import { packTree } from "../copy/pack.ts";
import { type Place, type PodPlace, parsePlace, splitPath } from "../copy/place.ts";
import { expectSuccess, type RemoteContainer, runInContainer } from "../copy/remote-tar.ts";
import { unpackTree } from "../copy/unpack.ts";
import { chooseContainer } from "./exec.ts";

interface CopyOptions {
  readonly from: Place;
  readonly to: Place;
  readonly container?: string;
  readonly preserve: boolean;
}

export const cpCommand = defineCommand<CopyOptions>({
  name: "cp",
  summary: "Copy files and folders to and from containers",
  examples: `# A folder into a pod; the image needs no tar
tsctl cp ./site web:/srv/site
# A file out of a container of a pod in another namespace
tsctl cp -c main shop/web:/var/log/app.log ./app.log
# From stdin, and to stdout
generate | tsctl cp - web:/tmp/data
tsctl cp web:/tmp/data - | sha256sum`,
  declare: (command) =>
    command
      .argument("<from>", "[[NAMESPACE/]POD:]PATH, or - for stdin")
      .argument("<to>", "[[NAMESPACE/]POD:]PATH, or - for stdout")
      .option("-c, --container <name>", "which container; not needed when there is one")
      .option("--no-preserve", "leave owners and modes to whoever unpacks"),
  parse: ([from = "", to = ""], flags) => ({
    from: parsePlace(from),
    to: parsePlace(to),
    container: flag.text(flags["container"]),
    preserve: flags["preserve"] !== false,
  }),
  validate: ({ from, to }) => {
    const pods = [from, to].filter(({ is }) => is === "pod").length;
    if (pods === 1) return [];
    return [
      pods === 0
        ? "one end of the copy must be in a pod: POD:PATH"
        : "copies between pods go by this machine: cp POD:PATH FILE, cp FILE POD:PATH",
    ];
  },
  run: async (options, context) => {
    try {
      const { from, to } = options;
      if (to.is === "pod") await copyInto(from, to, options, context);
      else if (from.is === "pod") await copyOut(from, to, options, context);
      return 0;
    } catch (error) {
      if (context.signal.aborted || isCancellation(error)) return 130;
      throw error;
    }
  },
});

async function copyInto(from: Place, to: PodPlace, options: CopyOptions, context: CommandContext): Promise<void> {
  if (from.is === "stdio") return await withSpooledInput(context, (path) => upload(path, "", to, options, context));
  if (from.is === "local") {
    await stat(from.path).catch((cause) => {
      throw new TesseraError("NotFound", `there is no file ${from.path}`, { cause });
    });
    await upload(from.path, basename(join(process.cwd(), from.path)), to, options, context);
  }
}

/** `name` is what it is called in a folder that is there already; "" when it has none. */
async function upload(path: string, name: string, to: PodPlace, options: CopyOptions, context: CommandContext): Promise<void> {
  const remote = await remoteContainer(to, options, context);
  const isFolder = (await runInContainer(remote, ["test", "-d", to.path])).exitCode === 0;
  if (isFolder && name === "") throw new TesseraError("BadRequest", `${to.path} is a folder; say which file of it is to be written`);
  const target = isFolder ? { folder: to.path, name } : splitPath(to.path);
  const input = packTree(path, target.name, (skipped, why) => void context.err.write(`note: ${skipped} is not copied: ${why}\n`));
  const keep = options.preserve ? [] : ["--no-same-permissions", "--no-same-owner"];
  const outcome = await runInContainer(remote, ["tar", ...keep, "-xmf", "-", "-C", target.folder], { input });
  expectSuccess(outcome, `${to.pod}:${to.path} is not complete`);
}

async function copyOut(from: PodPlace, to: Place, options: CopyOptions, context: CommandContext): Promise<void> {
  const remote = await remoteContainer(from, options, context);
  const { folder, name } = splitPath(from.path);
  const command = ["tar", "-cf", "-", "-C", folder, name === "." ? "." : `./${name}`];
  let count = 0;
  const outcome = await runInContainer(remote, command, {
    consume: async (output) => {
      const archive = readArchive(output);
      count = to.is === "stdio" ? await print(archive, from, context) : await write(archive, to, name, options, context);
    },
  });
  expectSuccess(outcome, `the copy of ${from.pod}:${from.path} is not complete`);
  if (count === 0) throw new TesseraError("NotFound", `nothing was copied: ${from.pod}:${from.path} is neither file nor folder`);
}

async function write(
  archive: ReturnType<typeof readArchive>,
  to: Place,
  name: string,
  { preserve }: CopyOptions,
  { err }: CommandContext,
): Promise<number> {
  const path = to.is === "local" ? to.path : "";
  return await unpackTree(archive, {
    destination: path,
    name,
    preserve,
    onSkipped: (entry, why) => void err.write(`note: ${entry} is not copied: it is ${why}\n`),
  });
}

/** The content of one file, as `cat` would give it. */
async function print(archive: ReturnType<typeof readArchive>, { path }: PodPlace, { out }: CommandContext): Promise<number> {
  let count = 0;
  for await (const source of archive) {
    if (source.header.type !== "file") throw new TesseraError("BadRequest", `${path} is no file, so it cannot go to stdout`);
    for await (const chunk of source) await out.write(chunk);
    count++;
  }
  return count;
}

async function remoteContainer(place: PodPlace, { container }: CopyOptions, context: CommandContext): Promise<RemoteContainer> {
  const cluster = await context.cluster();
  const namespace = place.namespace ?? cluster.namespace;
  const { pod } = place;
  const chosen = container ?? (await chooseContainer({ pod, quiet: false }, { ...cluster, namespace }, context));
  return { cluster, namespace, pod, container: chosen, signal: context.signal };
}

/** An archive says how long a file is before its content, so what comes from stdin is written down first. */
async function withSpooledInput(context: CommandContext, use: (path: string) => Promise<void>): Promise<void> {
  const folder = await mkdtemp(join(tmpdir(), "tsctl-cp-"));
  try {
    const path = join(folder, "stdin");
    await pipeline(context.input, createWriteStream(path, { mode: 0o600 }), { signal: context.signal });
    await use(path);
  } finally {
    await rm(folder, { recursive: true });
  }
}

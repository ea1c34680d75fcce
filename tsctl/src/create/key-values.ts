import { readdir, readFile, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { TesseraError } from "@tessera/proto";
import type { Command } from "commander";
import { collect, flag } from "../command.ts";

const validKey = /^[-._a-zA-Z0-9]{1,253}$/;

export function declareKeyValues(command: Command): Command {
  return command
    .option("--from-literal <key=value>", "a key and its value (repeatable)", collect)
    .option("--from-file <path>", "a file or a folder of files, by their names, or KEY=FILE (repeatable)", collect)
    .option("--from-env-file <path>", "a file with lines KEY=VALUE (repeatable)", collect);
}

export function keyValueFaults(flags: Readonly<Record<string, unknown>>): string[] {
  const isMixed = flag.texts(flags["fromEnvFile"]).length > 0 && (flags["fromFile"] ?? flags["fromLiteral"]) !== undefined;
  return isMixed ? ["--from-env-file cannot be combined with --from-file or --from-literal"] : [];
}

/** The keys and values that the flags say. Throws TesseraError "BadRequest" for a key that is none or is there twice. */
export async function readKeyValues(flags: Readonly<Record<string, unknown>>): Promise<ReadonlyMap<string, Buffer>> {
  const values = new Map<string, Buffer>();
  const add = (key: string, value: Buffer) => {
    if (!validKey.test(key)) throw new TesseraError("BadRequest", `"${key}" is not a valid key: letters, digits, "-", "_" and "."`);
    if (values.has(key)) throw new TesseraError("BadRequest", `cannot add key "${key}", another key by that name already exists`);
    values.set(key, value);
  };
  for (const source of flag.texts(flags["fromFile"])) for (const [key, value] of await readSource(source)) add(key, value);
  for (const literal of flag.texts(flags["fromLiteral"])) {
    const at = literal.indexOf("=");
    if (at < 1) throw new TesseraError("BadRequest", `invalid literal source ${literal}, expected key=value`);
    add(literal.slice(0, at), Buffer.from(literal.slice(at + 1)));
  }
  for (const path of flag.texts(flags["fromEnvFile"])) {
    const text = (await read(path)).toString("utf8").replace(/^\uFEFF/, "");
    for (const line of text.split(/\r?\n/).map((each) => each.trimStart())) {
      if (line === "" || line.startsWith("#")) continue;
      const at = line.indexOf("=");
      // A name alone is taken from the environment by kubectl; what a file means should not depend on where it is read.
      if (at < 1) throw new TesseraError("BadRequest", `${path}: "${line}" is not KEY=VALUE`);
      add(line.slice(0, at), Buffer.from(line.slice(at + 1)));
    }
  }
  return values;
}

async function readSource(source: string): Promise<[string, Buffer][]> {
  const at = source.indexOf("=");
  if (at === 0 || source.indexOf("=", at + 1) > 0) throw new TesseraError("BadRequest", `--from-file ${source} is not FILE or KEY=FILE`);
  const path = source.slice(at + 1);
  if (!(await isFolder(path))) return [[at < 0 ? basename(path) : source.slice(0, at), await read(path)]];
  if (at > 0) throw new TesseraError("BadRequest", `--from-file ${source}: a folder has a key for each of its files, so it takes none`);
  const entries = await readdir(path, { withFileTypes: true });
  const names = entries.filter((entry) => entry.isFile() && validKey.test(entry.name)).map((entry) => entry.name);
  return await Promise.all(names.sort().map(async (name): Promise<[string, Buffer]> => [name, await read(join(path, name))]));
}

const isFolder = async (path: string): Promise<boolean> => (await stat(path).catch(() => undefined))?.isDirectory() ?? false;

async function read(path: string): Promise<Buffer> {
  try {
    return await readFile(path);
  } catch (cause) {
    throw new TesseraError("BadRequest", `error reading ${path}: ${(cause as Error).message}`, { cause });
  }
}

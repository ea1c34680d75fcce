import { readdir, readFile, stat } from "node:fs/promises";
import { extname, join } from "node:path";
import { type ManifestDocument, type Position, parseManifest, TesseraError } from "@tessera/proto";
import type { ApiObject } from "../api/api.ts";

/** One object of a manifest file. */
export interface Manifest {
  readonly object: ApiObject;
  /** File name, or "stdin". */
  readonly source: string;
  readonly start: Position;
  /** The line of a field, or of the innermost part of its path that is there. */
  readonly lineOf: (fieldPath: string) => number;
}

const extensions = new Set([".yaml", ".yml", ".json"]);

/** Reads files, folders (the manifests right in them, by name) and "-" for stdin. Reports the faults of all of them at once. */
export async function readManifests(paths: readonly string[], input: NodeJS.ReadableStream): Promise<Manifest[]> {
  const texts: { source: string; text: string }[] = [];
  for (const path of paths) texts.push(...(path === "-" ? [{ source: "stdin", text: await readAll(input) }] : await readPath(path)));
  const faults: string[] = [];
  const manifests: Manifest[] = [];
  for (const { source, text } of texts) {
    try {
      manifests.push(...parseManifest(text).flatMap((document) => expandList(document, source)));
    } catch (error) {
      if (!(error instanceof TesseraError)) throw error;
      faults.push(
        ...(error.causes.length > 0 ? error.causes.map((cause) => cause.message ?? error.message) : [error.message]).map(
          (message) => `${source}: ${message}`,
        ),
      );
    }
  }
  if (faults.length > 0) throw manifestFault(faults);
  if (manifests.length === 0) throw new TesseraError("BadRequest", `there is no object in ${paths.join(", ")}`);
  return manifests;
}

/** One message for one fault, a list of causes for more. */
export function manifestFault(faults: readonly string[]): TesseraError {
  const [only] = faults;
  if (faults.length === 1 && only !== undefined) return new TesseraError("BadRequest", only);
  const causes = faults.map((message) => ({ reason: "FieldValueInvalid", message, field: "" }));
  return new TesseraError("BadRequest", `the manifests have ${faults.length} faults`, { causes });
}

async function readAll(input: NodeJS.ReadableStream): Promise<string> {
  let text = "";
  input.setEncoding("utf8");
  for await (const chunk of input) text += chunk;
  return text;
}

async function readPath(path: string): Promise<{ source: string; text: string }[]> {
  try {
    if (!(await stat(path)).isDirectory()) return [{ source: path, text: await readFile(path, "utf8") }];
    const names = (await readdir(path)).filter((name) => extensions.has(extname(name))).sort();
    if (names.length === 0) throw new TesseraError("BadRequest", `the folder ${path} holds no .yaml, .yml or .json files`);
    return await Promise.all(names.map(async (name) => ({ source: join(path, name), text: await readFile(join(path, name), "utf8") })));
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") throw new TesseraError("NotFound", `there is no file or folder ${path}`);
    if (code === "EACCES") throw new TesseraError("Forbidden", `${path} may not be read`);
    throw error;
  }
}

/** A document is an object, or a List of them. */
function expandList(document: ManifestDocument, source: string): Manifest[] {
  const lineOf = (path: string) => document.locate(path).line;
  const value = document.value;
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new TesseraError(
      "BadRequest",
      `an object was expected, not ${Array.isArray(value) ? "a list" : `"${String(value)}"`} (line ${document.start.line})`,
    );
  }
  const object = value as ApiObject & { items?: unknown };
  if (object.kind === "List" && Array.isArray(object.items)) {
    return object.items.map((item: ApiObject, index) => ({
      object: item,
      source,
      start: document.locate(`items[${index}]`),
      lineOf: (path) => lineOf(path === "" ? `items[${index}]` : `items[${index}].${path}`),
    }));
  }
  return [{ object, source, start: document.start, lineOf }];
}

/** Every fault that can be seen without a server, of all manifests. */
export function findFaults(manifests: readonly Manifest[]): string[] {
  return manifests.flatMap(({ object, source, lineOf }) => {
    const faults: string[] = [];
    const add = (path: string, message: string) => faults.push(`${source}: ${message} (line ${lineOf(path)})`);
    if (typeof object.apiVersion !== "string") add("apiVersion", 'apiVersion is missing, such as "apiVersion: v1"');
    if (typeof object.kind !== "string") add("kind", 'kind is missing, such as "kind: Pod"');
    const hasName = typeof object.metadata?.name === "string" && object.metadata.name !== "";
    if (!hasName && !object.metadata?.generateName) add("metadata", "metadata.name is missing");
    return faults;
  });
}

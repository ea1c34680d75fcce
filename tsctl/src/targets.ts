import { TesseraError } from "@tessera/proto";
import type { ApiResource, Discovery } from "./api/discovery.ts";

/** What a command line points at: all objects of a resource, or named ones. */
export interface Target {
  readonly resource: ApiResource;
  /** Undefined: all of them. */
  readonly name?: string;
}

/** Words such as "pods", "pod a b", "pods,nodes" or "pod/a node/b". Only their form is checked. */
export type TargetWords =
  | { readonly form: "types"; readonly types: readonly string[]; readonly names: readonly string[] }
  | { readonly form: "pairs"; readonly pairs: readonly { readonly type: string; readonly name: string }[] };

/** Throws TesseraError "BadRequest" that says what a right command line looks like. */
export function parseTargetWords(words: readonly string[], verb: string): TargetWords {
  const [first, ...names] = words;
  if (first === undefined) {
    throw new TesseraError(
      "BadRequest",
      `say what to ${verb}: "tsctl ${verb} TYPE [NAME...]" or "tsctl ${verb} TYPE/NAME..."; "tsctl api-resources" shows the types`,
    );
  }
  if (words.some((word) => word.includes("/"))) return { form: "pairs", pairs: words.map((word) => parsePair(word)) };
  const types = first.split(",").filter(Boolean);
  if (types.length > 1 && names.length > 0) {
    throw new TesseraError("BadRequest", `names need one type, not "${first}"; give each object as TYPE/NAME instead`);
  }
  return { form: "types", types, names };
}

function parsePair(word: string): { type: string; name: string } {
  const [type, name, more] = word.split("/");
  if (type && name && more === undefined) return { type, name };
  throw new TesseraError("BadRequest", `"${word}" is not TYPE/NAME; once one argument has a slash, all must be of this form`);
}

/** Looks the types up. */
export function resolveTargets(words: TargetWords, discovery: Discovery): Target[] {
  if (words.form === "pairs") return words.pairs.map(({ type, name }) => ({ resource: discovery.find(type), name }));
  const resources = words.types.flatMap((type) => resolveType(type, discovery));
  if (words.names.length === 0) return resources.map((resource) => ({ resource }));
  return resources.flatMap((resource) => words.names.map((name) => ({ resource, name })));
}

function resolveType(type: string, discovery: Discovery): ApiResource[] {
  const resource = discovery.tryFind(type);
  if (resource !== undefined) return [resource];
  const category = discovery.inCategory(type);
  return category.length > 0 ? category : [discovery.find(type)];
}

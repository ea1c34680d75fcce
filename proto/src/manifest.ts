import {
  type Document,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  LineCounter,
  type Node,
  parseAllDocuments,
  type ScalarTag,
  type YAMLError,
} from "yaml";
import { TesseraError } from "./error.ts";
import { keyPath } from "./schema/field-fault.ts";

/** A place in a text; both count from 1. */
export interface Position {
  readonly line: number;
  readonly column: number;
}

/** One document of a manifest. */
export interface ManifestDocument {
  /** The document as plain JSON. */
  readonly value: unknown;
  /** Fields that the text has more than once, of which the last was taken; empty unless the parser was told to take it. */
  readonly duplicates: readonly string[];
  /** Where its content begins. */
  readonly start: Position;
  /**
   * Where the field with this path is written, the path being as in faults: "spec.containers[0].image", "metadata.labels[app/name]". For a field that is not
   * there, the place of the innermost part that is.
   */
  locate(path: string): Position;
}

/** How often anchors may be used in one document: ten lines of aliases to aliases would otherwise make gigabytes. */
const maxAliasCount = 100;
/** How many errors are told at once. */
const maxErrors = 100;

export interface ManifestOptions {
  /** What becomes of a key that an object has twice: an error ("refuse", the default), or the last one is taken. */
  readonly duplicateKeys?: "refuse" | "last";
}

/**
 * Parses YAML (or JSON, which is YAML too) with any number of documents; those without content are left out. Values are read as kubectl reads
 * them: octal numbers with a leading 0, yes and no, merge keys.
 *
 * Throws TesseraError "BadRequest" with one cause for each syntax error, duplicate keys included unless they are allowed, each with its line.
 */
export function parseManifest(text: string, { duplicateKeys = "refuse" }: ManifestOptions = {}): ManifestDocument[] {
  const lineCounter = new LineCounter();
  const documents = parse(text, lineCounter, duplicateKeys === "refuse");
  const position = (offset: number): Position => {
    const { line, col } = lineCounter.linePos(offset);
    return { line, column: col };
  };
  const errors = documents.flatMap((document) => [...document.errors, ...document.warnings]);
  if (errors.length > 0) {
    throw syntaxError(errors.slice(0, maxErrors).map((error) => ({ message: explain(error, text), at: position(error.pos[0]) })));
  }
  return documents.flatMap((document) => {
    const content = document.contents;
    if (content === null || (isScalar(content) && content.value === null)) {
      return [];
    }
    const start = position(content.range?.[0] ?? 0);
    const duplicates = duplicateKeys === "refuse" ? [] : findDuplicates(document);
    return [{ value: toJson(document, start), duplicates, start, locate: (path) => position(offsetOf(document, path)) }];
  });
}

function parse(text: string, lineCounter: LineCounter, uniqueKeys: boolean): Document.Parsed[] {
  try {
    const documents = parseAllDocuments(text, {
      lineCounter,
      merge: true,
      stringKeys: true,
      uniqueKeys,
      customTags: (tags) => [...kubectlTags, ...tags],
    });
    return Array.isArray(documents) ? documents : [];
  } catch (error) {
    throw tooDeep(error, { line: 1, column: 1 });
  }
}

function toJson(document: Document.Parsed, start: Position): unknown {
  try {
    return document.toJS({ maxAliasCount });
  } catch (error) {
    if (error instanceof ReferenceError) {
      const message = error.message.startsWith("Excessive")
        ? "the document's aliases repeat its anchors more often than is allowed"
        : error.message;
      throw syntaxError([{ message, at: start }], error);
    }
    throw tooDeep(error, start);
  }
}

/** The parser is recursive; what exhausts the stack is no manifest. */
function tooDeep(error: unknown, at: Position): unknown {
  return error instanceof RangeError ? syntaxError([{ message: "the document is nested too deeply", at }], error) : error;
}

function syntaxError(errors: readonly { message: string; at: Position }[], cause?: unknown): TesseraError {
  const causes = errors.map(({ message, at }) => ({
    reason: "FieldValueInvalid",
    message: `${message} (line ${at.line}, column ${at.column})`,
  }));
  return new TesseraError("BadRequest", causes.map((each) => each.message).join("; "), { causes, cause });
}

/** What kubectl's YAML 1.1 parser reads otherwise than YAML 1.2 does. Keys always stay text. */
const kubectlTags: ScalarTag[] = [
  {
    tag: "tag:yaml.org,2002:int",
    default: true,
    format: "OCT",
    test: /^[-+]?0[0-7]+$/,
    resolve: (text) => Number.parseInt(text, 8),
  },
  {
    tag: "tag:yaml.org,2002:bool",
    default: true,
    test: /^(?:yes|Yes|YES|on|On|ON|no|No|NO|off|Off|OFF)$/,
    resolve: (text) => /^(?:y|on)/i.test(text),
  },
];

function explain(error: YAMLError, text: string): string {
  const written = text.slice(error.pos[0], error.pos[1] + 40).split(/[\n:]/, 1)[0] ?? "";
  switch (error.code) {
    case "DUPLICATE_KEY":
      return `duplicate key ${written.trim()}`;
    case "NON_STRING_KEY":
      return text.startsWith("{", error.pos[0]) ? "a key must be text; is this a template that was not rendered?" : "a key must be text";
    case "RESOURCE_EXHAUSTION":
      return "the document is nested too deeply";
    case "TAB_AS_INDENT":
      return "indent with spaces, not with tabs";
    default:
      return (error.message.split("\n", 1)[0] ?? "").replace(/ at line \d+, column \d+:?$/, "");
  }
}

/** The paths of keys that stand in one map more than once. */
function findDuplicates(document: Document.Parsed): string[] {
  const paths = new Set<string>();
  const walk = (node: unknown, path: string): void => {
    if (isSeq(node)) for (const [index, item] of node.items.entries()) walk(item, `${path}[${index}]`);
    if (!isMap(node)) return;
    const keys = new Set<string>();
    for (const { key, value } of node.items) {
      const name = String(isScalar(key) ? key.value : key);
      const at = keyPath(path, name);
      if (keys.has(name) && paths.size < maxErrors) paths.add(at);
      keys.add(name);
      walk(value, at);
    }
  };
  walk(document.contents, "");
  return [...paths];
}

/** The offset of the field in the text, or of the innermost part of the path that exists. */
function offsetOf(document: Document.Parsed, path: string): number {
  let node: Node | null = document.contents;
  let offset = node?.range?.[0] ?? 0;
  let rest = path;
  while (rest !== "") {
    const step = stepInto(document, node, rest);
    if (step === undefined) {
      return offset;
    }
    node = step.node;
    offset = step.offset;
    rest = step.rest;
  }
  return offset;
}

interface Step {
  readonly node: Node | null;
  readonly offset: number;
  readonly rest: string;
}

function stepInto(document: Document.Parsed, at: Node | null, rest: string): Step | undefined {
  const node = isAlias(at) ? (at.resolve(document) ?? null) : at;
  if (isSeq<Node>(node)) {
    const [whole = "", index] = /^\[(\d+)\]\.?/.exec(rest) ?? [];
    const item = node.items[Number(index)];
    return item === undefined ? undefined : { node: item, offset: item.range?.[0] ?? 0, rest: rest.slice(whole.length) };
  }
  if (!isMap<Node, Node | null>(node)) {
    return undefined;
  }
  // Keys may hold dots and brackets themselves, so the path is compared with the keys that exist; the longest that fits is meant, and of equal ones the last.
  let best: Step | undefined;
  for (const { key, value } of node.items) {
    const left = isScalar(key) ? afterKey(rest, String(key.value)) : undefined;
    if (left !== undefined && (best === undefined || left.length <= best.rest.length)) {
      best = { node: value, offset: key.range?.[0] ?? 0, rest: left };
    }
  }
  return best;
}

/** What follows the key at the beginning of a path, or undefined if the path begins otherwise. */
function afterKey(path: string, key: string): string | undefined {
  if (path.startsWith(`[${key}]`)) {
    return path.slice(key.length + 2).replace(/^\./, "");
  }
  const left = path.startsWith(key) ? path.slice(key.length) : undefined;
  return left === "" || left?.startsWith("[") ? left : left?.startsWith(".") ? left.slice(1) : undefined;
}

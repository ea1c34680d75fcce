import { type FieldFault, keyPath } from "@tessera/proto";

/** How many are told at once. */
const maxFaults = 100;

/**
 * The fields that JSON text has twice, of which JSON.parse keeps the last and says nothing. `value` is what it made of the text.
 *
 * Every key of the text is followed by the only colon that it brings, so as many colons as the value has keys mean that none was lost; that
 * comparison costs a fraction of the parsing. Only when it fails is the text gone through for the paths.
 */
export function findDuplicateKeys(text: Buffer, value: unknown): FieldFault[] {
  return countColons(text) === countKeys(value) ? [] : locateDuplicates(text.toString());
}

const quote = 0x22;
const backslash = 0x5c;
const colon = 0x3a;
const shortString = 32;

/** Colons outside of strings. Bytes of UTF-8 beyond ASCII are none of the three that matter. */
function countColons(text: Buffer): number {
  let count = 0;
  for (let at = 0; at < text.length; at++) {
    const byte = text[at];
    if (byte === colon) count++;
    else if (byte === quote) at = endOfString(text, at + 1);
  }
  return count;
}

/** Where the string that begins at `from` has its closing quote. Most are short; what is not is passed at memchr's speed. */
function endOfString(text: Buffer, from: number): number {
  for (let at = from; at < from + shortString; at++) {
    if (text[at] === quote) return at;
    if (text[at] === backslash) at++;
  }
  let at = text.indexOf(quote, from);
  while (at >= 0 && isEscaped(text, at)) at = text.indexOf(quote, at + 1);
  return at < 0 ? text.length : at;
}

function isEscaped(text: Buffer, at: number): boolean {
  let start = at;
  while (text[start - 1] === backslash) start--;
  return (at - start) % 2 === 1;
}

/** Keys of all objects in the value. Not recursive: it may be nested as deeply as its sender likes. */
function countKeys(value: unknown): number {
  let count = 0;
  const open: unknown[] = [value];
  while (open.length > 0) {
    const next = open.pop();
    if (typeof next !== "object" || next === null) continue;
    const values = Object.values(next);
    if (!Array.isArray(next)) count += values.length;
    for (const each of values) if (typeof each === "object" && each !== null) open.push(each);
  }
  return count;
}

/** An object or list that the text has begun. */
interface Open {
  readonly path: string;
  /** The keys so far; absent in a list. */
  readonly keys?: Set<string>;
  /** The path of the value that comes next. */
  next: string;
  index: number;
}

/** Goes through text that is known to be JSON, so only strings and structure matter. */
function locateDuplicates(text: string): FieldFault[] {
  const paths = new Set<string>();
  const open: Open[] = [];
  let key = "";
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\],:]/g)) {
    const top = open.at(-1);
    if (token === "{") open.push({ path: top?.next ?? "", keys: new Set(), next: "", index: 0 });
    else if (token === "[") open.push({ path: top?.next ?? "", next: `${top?.next ?? ""}[0]`, index: 0 });
    else if (token === "}" || token === "]") open.pop();
    else if (token === "," && top !== undefined && top.keys === undefined) top.next = `${top.path}[${++top.index}]`;
    else if (token.startsWith('"')) key = token;
    else if (token === ":" && top?.keys !== undefined) {
      const name = JSON.parse(key) as string;
      top.next = keyPath(top.path, name);
      if (top.keys.has(name)) paths.add(top.next);
      top.keys.add(name);
    }
    if (paths.size >= maxFaults) break;
  }
  return [...paths].map((path) => ({ type: "Duplicate", path, message: "duplicate field" }));
}

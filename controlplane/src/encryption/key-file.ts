import { createSecretKey, randomBytes } from "node:crypto";
import { readFile } from "node:fs/promises";
import { writeDurably } from "./durable-file.ts";
import { type EncryptionKey, isKeyId } from "./envelope.ts";

/** A key of the key file. */
export interface FileKey extends EncryptionKey {
  /** When it was made, ISO 8601. */
  readonly createdAt: string;
}

const keyBytes = 32;

/** A key that nobody has had before. */
export function newKey(now: Date): FileKey {
  return { id: randomBytes(8).toString("hex"), createdAt: now.toISOString(), secret: createSecretKey(randomBytes(keyBytes)) };
}

/**
 * The keys of a key file, `{ "keys": [{ "id", "createdAt", "key" }] }`: the first is the one to write under. Throws for anything else; no message says what
 * the file holds.
 */
export function parseKeyFile(text: string, path: string): readonly [FileKey, ...FileKey[]] {
  const bad = (what: string) => new Error(`${path}: ${what}`);
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch {
    // Without its cause, which quotes the text.
    throw bad("not JSON");
  }
  const entries = (content as { keys?: unknown } | null)?.keys;
  if (!Array.isArray(entries)) throw bad('expected { "keys": [...] }');
  const [first, ...others] = entries.map((entry: unknown, index) => parseKey(entry, (what) => bad(`keys[${index}]${what}`)));
  if (first === undefined) throw bad("keys: expected at least one");
  const ids = new Set<string>();
  for (const { id } of [first, ...others]) {
    if (ids.has(id)) throw bad(`keys: the id "${id}" is there twice`);
    ids.add(id);
  }
  return [first, ...others];
}

function parseKey(entry: unknown, bad: (what: string) => Error): FileKey {
  const { id, createdAt, key } = (entry ?? {}) as { id?: unknown; createdAt?: unknown; key?: unknown };
  if (typeof id !== "string" || !isKeyId(id)) throw bad(".id: expected at most 64 lower-case letters, digits and dashes");
  if (typeof createdAt !== "string" || Number.isNaN(Date.parse(createdAt))) throw bad(".createdAt: expected a time");
  const secret = typeof key === "string" ? Buffer.from(key, "base64") : Buffer.alloc(0);
  if (secret.length !== keyBytes) throw bad(`.key: expected ${keyBytes} bytes in base64`);
  return { id, createdAt, secret: createSecretKey(secret) };
}

/** undefined when there is no such file. */
export async function readKeyFile(path: string): Promise<readonly [FileKey, ...FileKey[]] | undefined> {
  try {
    return parseKeyFile(await readFile(path, "utf8"), path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** Safe from a loss of power once it resolves. "create" leaves a file that is there already, and resolves to false. */
export function writeKeyFile(path: string, keys: readonly FileKey[], how: "create" | "replace"): Promise<boolean> {
  const entries = keys.map(({ id, createdAt, secret }) => ({ id, createdAt, key: secret.export().toString("base64") }));
  return writeDurably(path, `${JSON.stringify({ keys: entries }, null, 2)}\n`, how);
}

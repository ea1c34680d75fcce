import { createHash, randomBytes, timingSafeEqual } from "node:crypto";
import { readFile } from "node:fs/promises";
import { writeSecretFile } from "./pki.ts";

/** Who a request comes from. */
export interface UserInfo {
  readonly name: string;
  readonly groups: readonly string[];
  /** Stays with the user when the name is used again. */
  readonly uid?: string;
  /** Further facts about how the user was recognized. */
  readonly extra?: { readonly [key: string]: readonly string[] };
}

interface TokenEntry extends UserInfo {
  readonly token: string;
}

/** Bearer tokens of DIR/tokens.json: `{ "tokens": [{ "token", "name", "groups" }] }`. */
export class TokenTable {
  readonly #entries: readonly { readonly digest: Buffer; readonly user: UserInfo }[];

  private constructor(entries: readonly TokenEntry[]) {
    this.#entries = entries.map(({ token, name, groups }) => ({ digest: digest(token), user: { name, groups } }));
  }

  /** Reads the file; makes it, with one token for an administrator, when there is none. */
  static async open(path: string): Promise<TokenTable> {
    let text: string;
    try {
      text = await readFile(path, "utf8");
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      const admin = { token: randomBytes(32).toString("base64url"), name: "admin", groups: ["system:masters"] };
      await writeSecretFile(path, `${JSON.stringify({ tokens: [admin] }, null, 2)}\n`);
      return new TokenTable([admin]);
    }
    return new TokenTable(parseTokens(text, path));
  }

  /** The user that the token belongs to. Takes as long for a wrong token as for a right one. */
  find(token: string): UserInfo | undefined {
    const wanted = digest(token);
    let found: UserInfo | undefined;
    for (const entry of this.#entries) {
      if (timingSafeEqual(entry.digest, wanted)) found = entry.user;
    }
    return found;
  }
}

function digest(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}

function parseTokens(text: string, path: string): TokenEntry[] {
  const bad = (what: string) => new Error(`${path}: ${what}`);
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch (cause) {
    throw new Error(`${path}: not JSON`, { cause });
  }
  const tokens = (content as { tokens?: unknown } | null)?.tokens;
  if (!Array.isArray(tokens)) throw bad('expected { "tokens": [...] }');
  return tokens.map((entry: unknown, index) => {
    const { token, name, groups } = (entry ?? {}) as { token?: unknown; name?: unknown; groups?: unknown };
    if (typeof token !== "string" || token.length < 16) throw bad(`tokens[${index}].token: expected a string of at least 16 characters`);
    if (typeof name !== "string" || name === "") throw bad(`tokens[${index}].name: expected a string`);
    const list: unknown[] = Array.isArray(groups) ? groups : [];
    if (!list.every((group) => typeof group === "string")) throw bad(`tokens[${index}].groups: expected a list of strings`);
    return { token, name, groups: list as string[] };
  });
}

/**
 * Parsed objects that many readers share: deeply frozen, equal strings kept once, and sub-trees that did not change since the previous
 * version of the object taken from there. So `next.spec === previous.spec` says that the spec is the same, and a cache of many versions of
 * like objects stays small.
 */
export function parseShared(text: string, previous: unknown, strings: StringPool): unknown {
  return settle(JSON.parse(text), previous, strings);
}

function settle(value: unknown, previous: unknown, strings: StringPool): unknown {
  if (typeof value === "string") return strings.intern(value);
  if (typeof value !== "object" || value === null) return value;
  return Array.isArray(value) ? settleArray(value, previous, strings) : settleObject(value as JsonObject, previous, strings);
}

function settleArray(value: unknown[], previous: unknown, strings: StringPool): readonly unknown[] {
  const old: readonly unknown[] | undefined = Array.isArray(previous) ? previous : undefined;
  let same = old?.length === value.length;
  for (let i = 0; i < value.length; i++) {
    const item = settle(value[i], old?.[i], strings);
    value[i] = item;
    same &&= item === old?.[i];
  }
  return same && old !== undefined ? old : Object.freeze(value);
}

type JsonObject = Record<string, unknown>;

function settleObject(value: JsonObject, previous: unknown, strings: StringPool): Readonly<JsonObject> {
  const old = typeof previous === "object" && previous !== null && !Array.isArray(previous) ? (previous as JsonObject) : undefined;
  const keys = Object.keys(value);
  let same = old !== undefined && Object.keys(old).length === keys.length;
  for (const key of keys) {
    const item = settle(value[key], old?.[key], strings);
    value[key] = item;
    same &&= old !== undefined && item === old[key] && (item !== undefined || key in old);
  }
  return same && old !== undefined ? old : Object.freeze(value);
}

/** Keeps one copy of equal strings. Bounded: strings that were not asked for through two generations are forgotten. */
export class StringPool {
  readonly #generationSize: number;
  #young = new Map<string, string>();
  #old = new Map<string, string>();

  constructor(generationSize = 50_000) {
    this.#generationSize = generationSize;
  }

  intern(text: string): string {
    // Long texts are seldom equal, and would only be hashed in vain.
    if (text.length > 200) return text;
    const young = this.#young.get(text);
    if (young !== undefined) return young;
    const kept = this.#old.get(text) ?? text;
    if (this.#young.size >= this.#generationSize) {
      this.#old = this.#young;
      this.#young = new Map();
    }
    this.#young.set(kept, kept);
    return kept;
  }
}

import { TesseraError } from "@tessera/proto";

/**
 * Kubernetes' JSONPath templates: text with expressions in braces, "{.items[*].metadata.name}", "{range .items[*]}...{end}", filters,
 * slices and unions. A template without braces is one expression.
 */
export interface JsonPathTemplate {
  /** The text that the template makes of a value. A field that is not there gives nothing. */
  render(value: unknown): string;
}

export function parseJsonPath(template: string): JsonPathTemplate {
  const text = template.includes("{")
    ? template
    : `{${template.startsWith(".") || template.startsWith("[") || template.startsWith("$") ? "" : "."}${template}}`;
  const parts = parseParts(new Reader(text, template), false);
  return { render: (value) => renderParts(parts, { root: value, current: value }) };
}

/** All values that one expression such as ".status.phase" or "{.status.phase}" finds. */
export function findByJsonPath(expression: string, value: unknown): unknown[] {
  const bare = expression.replace(/^\{(.*)\}$/s, "$1");
  const steps = parsePath(new Reader(bare.startsWith(".") || bare.startsWith("[") ? bare : `.${bare}`, expression), "");
  return walk(steps, [value], value);
}

type Part =
  | { readonly part: "text"; readonly text: string }
  | { readonly part: "path"; readonly steps: readonly Step[] }
  | { readonly part: "range"; readonly steps: readonly Step[]; readonly body: readonly Part[] };

type Step =
  /** "$" */
  | { readonly step: "root" }
  | { readonly step: "field"; readonly name: string }
  /** "*" */
  | { readonly step: "all" }
  /** ".." before a field */
  | { readonly step: "descend" }
  | { readonly step: "slice"; readonly from?: number; readonly to?: number; readonly by: number }
  /** "[a,b]" or "[0,2]" */
  | { readonly step: "union"; readonly of: readonly Step[] }
  | { readonly step: "filter"; readonly test: Test };

interface Test {
  readonly left: Operand;
  readonly operator?: "==" | "!=" | "<" | "<=" | ">" | ">=";
  readonly right?: Operand;
}

type Operand = { readonly literal: unknown } | { readonly path: readonly Step[] };

interface Scope {
  readonly root: unknown;
  readonly current: unknown;
}

class Reader {
  at = 0;
  readonly text: string;
  /** As the user wrote it, for messages. */
  readonly original: string;
  constructor(text: string, original: string) {
    this.text = text;
    this.original = original;
  }
  get done(): boolean {
    return this.at >= this.text.length;
  }
  peek(word: string): boolean {
    return this.text.startsWith(word, this.at);
  }
  take(word: string): boolean {
    if (!this.peek(word)) return false;
    this.at += word.length;
    return true;
  }
  expect(word: string): void {
    if (!this.take(word)) throw this.fault(`expected "${word}"`);
  }
  match(pattern: RegExp): string | undefined {
    const sticky = new RegExp(pattern.source, "y");
    sticky.lastIndex = this.at;
    const found = sticky.exec(this.text)?.[0];
    if (found !== undefined) this.at += found.length;
    return found;
  }
  skipSpace(): void {
    this.match(/\s*/);
  }
  fault(what: string): TesseraError {
    const seen = this.done ? "at its end" : `before "${this.text.slice(this.at, this.at + 20)}"`;
    return new TesseraError("BadRequest", `jsonpath "${this.original}": ${what} ${seen}`);
  }
}

function parseParts(reader: Reader, inRange: boolean): Part[] {
  const parts: Part[] = [];
  while (!reader.done) {
    const text = reader.match(/[^{]+/);
    if (text !== undefined) parts.push({ part: "text", text });
    if (reader.done) break;
    reader.expect("{");
    reader.skipSpace();
    if (reader.match(/end\s*\}/) !== undefined) {
      if (!inRange) throw reader.fault("{end} without {range}");
      return parts;
    }
    parts.push(parseExpression(reader));
  }
  if (inRange) throw reader.fault("{range} without {end}");
  return parts;
}

function parseExpression(reader: Reader): Part {
  if (reader.peek('"') || reader.peek("'")) {
    const text = parseString(reader);
    closeExpression(reader);
    return { part: "text", text };
  }
  const isRange = reader.match(/range\s+/) !== undefined;
  const steps = parsePath(reader, "}");
  closeExpression(reader);
  return isRange ? { part: "range", steps, body: parseParts(reader, true) } : { part: "path", steps };
}

function closeExpression(reader: Reader): void {
  reader.skipSpace();
  reader.expect("}");
}

const escapes: Readonly<Record<string, string>> = { n: "\n", t: "\t", r: "\r" };

function parseString(reader: Reader): string {
  const quote = reader.text[reader.at] ?? "";
  const quoted = reader.match(quote === '"' ? /"(?:[^"\\]|\\.)*"/s : /'(?:[^'\\]|\\.)*'/s);
  if (quoted === undefined) throw reader.fault(`no closing ${quote}`);
  return quoted.slice(1, -1).replace(/\\(.)/gs, (_, char: string) => escapes[char] ?? char);
}

/** Steps up to `end`, white space or a comparison. */
function parsePath(reader: Reader, end: string): Step[] {
  const steps: Step[] = [];
  if (reader.take("$")) steps.push({ step: "root" });
  else reader.take("@");
  for (;;) {
    if (reader.done || (end !== "" && reader.peek(end)) || reader.match(/(?=[\s=!<>)])/) !== undefined) return steps;
    if (reader.take("[")) steps.push(parseBracket(reader));
    else if (reader.take("..")) steps.push({ step: "descend" }, ...(reader.peek("[") ? [] : [parseField(reader)]));
    else if (reader.take(".")) {
      // A single "." is the value itself.
      const isAlone = reader.done || reader.peek("}") || reader.peek("[");
      if (!isAlone) steps.push(parseField(reader));
    } else steps.push(parseField(reader));
  }
}

function parseField(reader: Reader): Step {
  if (reader.take("*")) return { step: "all" };
  const name = reader.match(/(?:[^\\.[\]{}\s=!<>()|,'"]|\\.)+/);
  if (name === undefined) throw reader.fault("expected the name of a field");
  return { step: "field", name: name.replace(/\\(.)/g, "$1") };
}

function parseBracket(reader: Reader): Step {
  reader.skipSpace();
  if (reader.take("?(")) return parseFilter(reader);
  const choices: Step[] = [];
  do {
    reader.skipSpace();
    choices.push(parseChoice(reader));
    reader.skipSpace();
  } while (reader.take(","));
  reader.expect("]");
  const [only] = choices;
  return choices.length === 1 && only !== undefined ? only : { step: "union", of: choices };
}

function parseChoice(reader: Reader): Step {
  if (reader.take("*")) return { step: "all" };
  if (reader.peek("'") || reader.peek('"')) return { step: "field", name: parseString(reader) };
  const numbers = reader.match(/-?\d*(?::-?\d*(?::-?\d+)?)?/) ?? "";
  if (numbers === "") {
    const name = reader.match(/[^\],\s]+/);
    if (name === undefined) throw reader.fault("expected an index, a name or *");
    return { step: "field", name };
  }
  const [from, to, by] = numbers.split(":").map((number) => (number === "" ? undefined : Number(number)));
  if (by !== undefined && by < 1) throw reader.fault("the step of a slice must be positive");
  if (!numbers.includes(":")) return { step: "slice", from, to: from === -1 ? undefined : (from ?? 0) + 1, by: 1 };
  return { step: "slice", from, to, by: by ?? 1 };
}

function parseFilter(reader: Reader): Step {
  reader.skipSpace();
  const left = parseOperand(reader);
  reader.skipSpace();
  const operator = reader.match(/==|!=|<=|>=|<|>/) as Test["operator"];
  reader.skipSpace();
  const right = operator === undefined ? undefined : parseOperand(reader);
  reader.skipSpace();
  reader.expect(")");
  reader.skipSpace();
  reader.expect("]");
  return { step: "filter", test: { left, operator, right } };
}

function parseOperand(reader: Reader): Operand {
  if (reader.peek("@") || reader.peek("$") || reader.peek(".")) return { path: parsePath(reader, ")") };
  if (reader.peek("'") || reader.peek('"')) return { literal: parseString(reader) };
  const word = reader.match(/[^\s)=!<>]+/);
  if (word === undefined) throw reader.fault("expected a value to compare with");
  if (word === "true" || word === "false") return { literal: word === "true" };
  return { literal: /^-?\d+(\.\d+)?$/.test(word) ? Number(word) : word };
}

function renderParts(parts: readonly Part[], scope: Scope): string {
  return parts.map((part) => renderPart(part, scope)).join("");
}

function renderPart(part: Part, scope: Scope): string {
  if (part.part === "text") return part.text;
  const found = walk(part.steps, [scope.current], scope.root);
  if (part.part === "path") return found.map(toText).join(" ");
  return found.map((current) => renderParts(part.body, { root: scope.root, current })).join("");
}

function toText(value: unknown): string {
  if (typeof value === "string") return value;
  return value === null || value === undefined ? "" : JSON.stringify(value);
}

function walk(steps: readonly Step[], from: readonly unknown[], root: unknown): unknown[] {
  let values = [...from];
  for (const step of steps) values = values.flatMap((value) => take(step, value, root));
  return values;
}

function take(step: Step, value: unknown, root: unknown): unknown[] {
  switch (step.step) {
    case "root":
      return [root];
    case "field":
      return fieldOf(value, step.name);
    case "all":
      return childrenOf(value);
    case "descend":
      return descendants(value);
    case "slice":
      return sliceOf(value, step);
    case "union":
      return step.of.flatMap((choice) => take(choice, value, root));
    case "filter":
      return childrenOf(value).filter((child) => passes(step.test, child, root));
  }
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null && !Array.isArray(value);

function fieldOf(value: unknown, name: string): unknown[] {
  if (isRecord(value)) return Object.hasOwn(value, name) ? [value[name]] : [];
  return [];
}

function childrenOf(value: unknown): unknown[] {
  if (Array.isArray(value)) return value;
  return isRecord(value) ? Object.values(value) : [];
}

function descendants(value: unknown): unknown[] {
  return [value, ...childrenOf(value).flatMap(descendants)];
}

function sliceOf(value: unknown, { from, to, by }: Extract<Step, { step: "slice" }>): unknown[] {
  if (!Array.isArray(value)) return [];
  return value.slice(from ?? 0, to).filter((_, index) => index % by === 0);
}

function passes(test: Test, value: unknown, root: unknown): boolean {
  const left = evaluate(test.left, value, root);
  if (test.operator === undefined || test.right === undefined) return left !== undefined;
  const right = evaluate(test.right, value, root);
  if (test.operator === "==") return left === right;
  if (test.operator === "!=") return left !== right;
  const comparable = (typeof left === "number" && typeof right === "number") || (typeof left === "string" && typeof right === "string");
  if (!comparable) return false;
  const order = left < right ? -1 : left > right ? 1 : 0;
  return { "<": order < 0, "<=": order <= 0, ">": order > 0, ">=": order >= 0 }[test.operator];
}

function evaluate(operand: Operand, value: unknown, root: unknown): unknown {
  return "literal" in operand ? operand.literal : walk(operand.path, [value], root)[0];
}

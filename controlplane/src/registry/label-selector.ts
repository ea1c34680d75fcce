import { type LabelSelector as SelectorObject, TesseraError } from "@tessera/proto";
import { checkLabelValue, checkQualifiedName } from "./names.ts";

type Labels = { readonly [key: string]: string } | undefined;

export type LabelRequirement =
  | { readonly operator: "in" | "notin"; readonly key: string; readonly values: ReadonlySet<string> }
  | { readonly operator: "exists" | "absent"; readonly key: string }
  | { readonly operator: "gt" | "lt"; readonly key: string; readonly value: number };

/** The `labelSelector` of a request: "app=web,tier!=db,env in (a,b),!legacy". */
export class LabelSelector {
  readonly requirements: readonly LabelRequirement[];

  constructor(requirements: readonly LabelRequirement[]) {
    this.requirements = requirements;
  }

  get isEmpty(): boolean {
    return this.requirements.length === 0;
  }

  matches(labels: Labels): boolean {
    return this.requirements.every((requirement) => meets(labels ?? {}, requirement));
  }

  /** The selector of an object's spec. Absent, it matches nothing, which only the caller can tell. */
  static of({ matchLabels = {}, matchExpressions = [] }: SelectorObject): LabelSelector {
    const labels = Object.entries(matchLabels).map(([key, value]): LabelRequirement => ({ operator: "in", key, values: new Set([value]) }));
    const operators = { In: "in", NotIn: "notin", Exists: "exists", DoesNotExist: "absent" } as const;
    const expressions = matchExpressions.map(({ key = "", operator = "", values = [] }): LabelRequirement => {
      const name = operators[operator as keyof typeof operators];
      return name === "in" || name === "notin" ? { operator: name, key, values: new Set(values) } : { operator: name, key };
    });
    return new LabelSelector([...labels, ...expressions]);
  }

  /** Throws TesseraError "BadRequest" that says where the text cannot be read. */
  static parse(text: string): LabelSelector {
    return new LabelSelector(new Parser(text).parse());
  }
}

function meets(labels: { readonly [key: string]: string }, requirement: LabelRequirement): boolean {
  const value = Object.hasOwn(labels, requirement.key) ? labels[requirement.key] : undefined;
  switch (requirement.operator) {
    case "in":
      return value !== undefined && requirement.values.has(value);
    case "notin":
      return value === undefined || !requirement.values.has(value);
    case "exists":
      return value !== undefined;
    case "absent":
      return value === undefined;
    case "gt":
      return value !== undefined && /^-?\d+$/.test(value) && Number(value) > requirement.value;
    case "lt":
      return value !== undefined && /^-?\d+$/.test(value) && Number(value) < requirement.value;
  }
}

/** Tokens: punctuation `( ) , ! = == != < >`, or a word. */
const tokenPattern = /\s*(==|!=|[(),!=<>]|[^\s(),!=<>]+)/y;

class Parser {
  readonly #text: string;
  readonly #tokens: string[] = [];
  #next = 0;

  constructor(text: string) {
    this.#text = text;
    tokenPattern.lastIndex = 0;
    let end = 0;
    for (let match = tokenPattern.exec(text); match !== null; match = tokenPattern.exec(text)) {
      this.#tokens.push(match[1] ?? "");
      end = tokenPattern.lastIndex;
    }
    if (text.slice(end).trim() !== "") throw this.#fault(`unexpected ${JSON.stringify(text.slice(end))}`);
  }

  parse(): LabelRequirement[] {
    const requirements: LabelRequirement[] = [];
    if (this.#tokens.length === 0) return requirements;
    do requirements.push(this.#requirement());
    while (this.#accept(","));
    if (this.#peek() !== undefined) throw this.#fault(`unexpected ${JSON.stringify(this.#peek())}, expected ',' or the end`);
    return requirements;
  }

  #requirement(): LabelRequirement {
    if (this.#accept("!")) return { operator: "absent", key: this.#key() };
    const key = this.#key();
    const operator = this.#peek();
    if (operator === undefined || operator === ",") return { operator: "exists", key };
    this.#next++;
    switch (operator) {
      case "=":
      case "==":
        return { operator: "in", key, values: new Set([this.#value()]) };
      case "!=":
        return { operator: "notin", key, values: new Set([this.#value()]) };
      case "in":
      case "notin":
        return { operator, key, values: this.#set() };
      case ">":
      case "<": {
        const bound = this.#value();
        if (!/^-?\d+$/.test(bound)) throw this.#fault(`${JSON.stringify(bound)}: for '>' and '<' the value must be an integer`);
        return { operator: operator === ">" ? "gt" : "lt", key, value: Number(bound) };
      }
      default:
        throw this.#fault(`found ${JSON.stringify(operator)}, expected: '=', '!=', '==', 'in', 'notin', '>', '<', ',' or the end`);
    }
  }

  #set(): Set<string> {
    if (!this.#accept("(")) throw this.#fault("expected '(' after 'in' or 'notin'");
    const values = new Set<string>();
    do values.add(this.#value());
    while (this.#accept(","));
    if (!this.#accept(")")) throw this.#fault("expected ')' after the values");
    return values;
  }

  #key(): string {
    const key = this.#tokens[this.#next++] ?? "";
    const fault = checkQualifiedName(key);
    if (fault !== undefined) throw this.#fault(`key ${JSON.stringify(key)}: ${fault}`);
    return key;
  }

  /** May be empty, as in "app=" or "app in (a,)". */
  #value(): string {
    const token = this.#peek();
    if (token === undefined || token === "," || token === ")") return "";
    this.#next++;
    const fault = checkLabelValue(token);
    if (fault !== undefined) throw this.#fault(`value ${JSON.stringify(token)}: ${fault}`);
    return token;
  }

  #peek(): string | undefined {
    return this.#tokens[this.#next];
  }

  #accept(token: string): boolean {
    if (this.#peek() !== token) return false;
    this.#next++;
    return true;
  }

  #fault(what: string): TesseraError {
    return new TesseraError("BadRequest", `unable to parse label selector ${JSON.stringify(this.#text)}: ${what}`);
  }
}

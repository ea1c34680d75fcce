import { TesseraError } from "@tessera/proto";
import type { ApiObject, ResourceDefinition } from "./definition.ts";

interface FieldRequirement {
  readonly field: string;
  readonly equals: boolean;
  readonly value: string;
}

/** The `fieldSelector` of a request: "metadata.name=web,status.phase!=Running". */
export class FieldSelector<T extends ApiObject> {
  readonly #requirements: readonly FieldRequirement[];
  readonly #read: (object: T, field: string) => string;

  private constructor(requirements: readonly FieldRequirement[], read: (object: T, field: string) => string) {
    this.#requirements = requirements;
    this.#read = read;
  }

  get isEmpty(): boolean {
    return this.#requirements.length === 0;
  }

  /** The one name that can match, for a direct look-up. */
  get name(): string | undefined {
    return this.#requirements.find(({ field, equals }) => field === "metadata.name" && equals)?.value;
  }

  matches(object: T): boolean {
    return this.#requirements.every(({ field, equals, value }) => (this.#read(object, field) === value) === equals);
  }

  /** Throws TesseraError "BadRequest" for bad syntax and for fields that cannot be selected by. */
  static parse<T extends ApiObject>(text: string, definition: ResourceDefinition<T>): FieldSelector<T> {
    const requirements = splitTerms(text).map((term) => {
      const match = /^((?:[^\\=!]|\\.)*?)\s*(==|!=|=)(.*)$/s.exec(term);
      if (match === null)
        throw new TesseraError("BadRequest", `invalid selector: ${JSON.stringify(text)}; can't understand ${JSON.stringify(term)}`);
      const [, field = "", operator, value = ""] = match;
      if (!isSelectable(definition, field.trim())) throw unselectable(definition, field.trim());
      return { field: field.trim(), equals: operator !== "!=", value: value.replace(/\\([\\,=])/g, "$1") };
    });
    return new FieldSelector(requirements, (object, field) => readField(definition, object, field));
  }
}

/** Splits at commas that no backslash escapes. */
function splitTerms(text: string): string[] {
  return (text.match(/(?:[^\\,]|\\.)+/gs) ?? []).map((term) => term.trim()).filter((term) => term !== "");
}

function isSelectable<T extends ApiObject>(definition: ResourceDefinition<T>, field: string): boolean {
  return (
    field === "metadata.name" ||
    (field === "metadata.namespace" && definition.namespaced) ||
    Object.hasOwn(definition.selectableFields, field)
  );
}

function readField<T extends ApiObject>(definition: ResourceDefinition<T>, object: T, field: string): string {
  if (field === "metadata.name") return object.metadata?.name ?? "";
  if (field === "metadata.namespace") return object.metadata?.namespace ?? "";
  return definition.selectableFields[field]?.(object) ?? "";
}

function unselectable<T extends ApiObject>(definition: ResourceDefinition<T>, field: string): TesseraError {
  const known = ["metadata.name", ...(definition.namespaced ? ["metadata.namespace"] : []), ...Object.keys(definition.selectableFields)];
  return new TesseraError(
    "BadRequest",
    `field label not supported: ${JSON.stringify(field)}; ${definition.plural} can be selected by ${known.join(", ")}`,
  );
}

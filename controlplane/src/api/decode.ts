import {
  applyDefaults,
  decodeObject,
  decodeProtobuf,
  type FieldFault,
  type KindSchema,
  parseManifest,
  protobufContentType,
  schemaOf,
  TesseraError,
} from "@tessera/proto";
import { type ApiObject, apiVersionOf } from "../registry/definition.ts";
import type { Fault } from "../registry/faults.ts";
import { contentType, readBody } from "./body.ts";
import { findDuplicateKeys } from "./duplicate-keys.ts";
import type { ApiRequest } from "./http.ts";

export type FieldValidation = "Strict" | "Warn" | "Ignore";

export interface Kind {
  readonly group: string;
  readonly version: string;
  readonly kind: string;
}

/** A place in the text that was sent: "(line 14)", or "" when there are no lines to speak of. */
export type Locate = (path: string) => string;

/** What the text of a value says beyond the value. */
export interface Source {
  readonly locate?: Locate;
  /** Fields that the text has more than once; the last was taken. */
  readonly duplicates?: readonly FieldFault[];
}

/** A body as a plain value. */
export interface ParsedBody {
  readonly value: unknown;
  readonly locate: Locate;
  /** Finds the fields that the text has more than once. */
  readonly duplicates: () => readonly FieldFault[];
}

export interface Decoded<T> {
  /** Nobody else's: it may be changed. */
  readonly object: T;
  /** Another one like it. */
  readonly again: () => T;
  /** What the schema refuses but only validation may report, together with its own faults. */
  readonly faults: readonly Fault[];
  /** Unknown and repeated fields that were dropped, for clients that want to be warned. */
  readonly warnings: readonly string[];
}

export function parseFieldValidation(query: URLSearchParams): FieldValidation {
  const value = query.get("fieldValidation") ?? "";
  if (value === "") return "Warn";
  if (value === "Strict" || value === "Warn" || value === "Ignore") return value;
  throw new TesseraError(
    "BadRequest",
    `fieldValidation: Unsupported value: ${JSON.stringify(value)}: supported values: "Ignore", "Strict", "Warn"`,
  );
}

/** Reads a request's body as an object of the kind: strictly decoded, with the schema's defaults. */
export async function decodeBody<T extends ApiObject>(request: ApiRequest, kind: Kind): Promise<Decoded<T>> {
  const body = await readBody(request);
  if (body.length === 0) throw new TesseraError("BadRequest", `the request has no body; expected a ${kind.kind}`);
  const { value, locate, duplicates } = parseBody(body, contentType(request), kind);
  const validation = parseFieldValidation(request.query);
  return decodeValue<T>(value, kind, validation, { locate, duplicates: validation === "Ignore" ? [] : duplicates() });
}

/** Decodes what was parsed or patched already. */
export function decodeValue<T extends ApiObject>(
  value: unknown,
  kind: Kind,
  validation: FieldValidation,
  { locate = () => "", duplicates = [] }: Source = {},
): Decoded<T> {
  checkKind(value, kind);
  const schema = schemaFor(kind);
  const { object, faults } = decodeObject(schema, value);
  const structural = faults.filter((fault) => fault.type === "WrongType");
  if (structural.length > 0) throw notDecodable(kind, structural, locate, "");
  const dropped = [...duplicates, ...faults.filter(isUnknown)];
  if (dropped.length > 0 && validation === "Strict") throw notDecodable(kind, dropped, locate, "strict decoding error: ");
  applyDefaults(schema, object);
  return {
    object: object as T,
    again: () => decodeValue<T>(value, kind, "Ignore").object,
    faults: faults.filter((fault) => !isUnknown(fault)).map((fault) => toFault(fault, locate)),
    warnings: validation === "Warn" ? dropped.map((fault) => describe(fault, locate)) : [],
  };
}

export function schemaFor(kind: Kind): KindSchema {
  const schema = schemaOf(kind);
  if (schema === undefined) throw new TesseraError("InternalError", `there is no schema for ${kind.kind} in ${apiVersionOf(kind)}`);
  return schema;
}

/** JSON or YAML text, or Kubernetes' protobuf form, as a plain value. */
export function parseBody(body: Buffer, type: string, kind: Kind): ParsedBody {
  const noLines = { locate: () => "" };
  switch (type) {
    case "":
    case "application/json": {
      const value = parseJson(body, kind);
      return { value, ...noLines, duplicates: () => findDuplicateKeys(body, value) };
    }
    case "application/yaml": {
      const documents = parseManifest(body.toString(), { duplicateKeys: "last" });
      const [document] = documents;
      if (documents.length !== 1 || document === undefined) {
        throw new TesseraError("BadRequest", `the body has ${documents.length} YAML documents; expected one ${kind.kind}`);
      }
      const locate = (path: string) => {
        const place = document.locate(path);
        return place === undefined ? "" : ` (line ${place.line})`;
      };
      const duplicates = () => document.duplicates.map((path): FieldFault => ({ type: "Duplicate", path, message: "duplicate field" }));
      return { value: document.value, locate, duplicates };
    }
    case protobufContentType:
      return { value: decodeProtobuf(body), ...noLines, duplicates: () => [] };
    default:
      throw new TesseraError(
        "UnsupportedMediaType",
        `the body of the request was in an unknown format - accepted media types include: application/json, application/yaml; not ${type}`,
      );
  }
}

function parseJson(body: Buffer, kind: Kind): unknown {
  try {
    return JSON.parse(body.toString());
  } catch (cause) {
    const text = cause instanceof Error ? cause.message : String(cause);
    throw new TesseraError("BadRequest", `the body is not JSON: ${text}; expected a ${kind.kind}`, { cause });
  }
}

function checkKind(value: unknown, expected: Kind): asserts value is { [key: string]: unknown } {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new TesseraError(
      "BadRequest",
      `the body is ${value === null ? "null" : Array.isArray(value) ? "a list" : `a ${typeof value}`}; expected a ${expected.kind}`,
    );
  }
  const { apiVersion, kind } = value as { apiVersion?: unknown; kind?: unknown };
  const expectedVersion = apiVersionOf(expected);
  if (apiVersion !== undefined && apiVersion !== expectedVersion) {
    throw new TesseraError(
      "BadRequest",
      `the API version in the data (${String(apiVersion)}) does not match the expected API version (${expectedVersion})`,
    );
  }
  if (kind !== undefined && kind !== expected.kind) {
    throw new TesseraError("BadRequest", `the kind in the data (${String(kind)}) does not match the expected kind (${expected.kind})`);
  }
}

/** In the words of Kubernetes' field errors, so that both sorts of faults read alike in one message. */
function toFault({ type, path, message }: FieldFault, locate: Locate): Fault {
  const words = {
    Required: "Required value",
    NotSupported: `Unsupported value: ${message}`,
    Duplicate: `Duplicate value: ${message}`,
    Invalid: `Invalid value: ${message}`,
    WrongType: message,
    UnknownField: message,
  };
  return { type, path, message: words[type] + locate(path) };
}

function isUnknown(fault: FieldFault): boolean {
  return fault.type === "UnknownField";
}

function describe(fault: FieldFault, locate: Locate): string {
  return `${fault.path}: ${fault.message}${locate(fault.path)}`;
}

const decodingReasons: { readonly [type in FieldFault["type"]]?: string } = {
  WrongType: "FieldValueTypeInvalid",
  Duplicate: "FieldValueDuplicate",
};

function notDecodable(kind: Kind, faults: readonly FieldFault[], locate: Locate, prefix: string): TesseraError {
  const list = faults.map((fault) => describe(fault, locate)).join(", ");
  return new TesseraError(
    "BadRequest",
    `${kind.kind} in version ${JSON.stringify(kind.version)} cannot be handled as a ${kind.kind}: ${prefix}${list}`,
    {
      causes: faults.map((fault) => ({
        reason: decodingReasons[fault.type] ?? "FieldValueInvalid",
        field: fault.path,
        message: fault.message,
      })),
    },
  );
}

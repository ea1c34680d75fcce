import { BinaryReader, WireType } from "@bufbuild/protobuf/wire";
import { TesseraError } from "../error.ts";
import { builtinKinds, type SchemaCatalog } from "./catalog.ts";
import type { FieldSchema, KindSchema, ObjectSchema, ScalarType, ValueSchema } from "./schema.ts";

/** The content type of Kubernetes' protobuf form. kubectl 1.32 sends it for `create configmap`, `auth whoami` and the like, and takes no refusal. */
export const protobufContentType = "application/vnd.kubernetes.protobuf";

/** What each body begins with; an envelope follows: 1 { 1: apiVersion, 2: kind }, 2: the object. */
const magic = [0x6b, 0x38, 0x73, 0x00];

/** Far beyond any object of the API. */
const maxDepth = 64;

type JsonObject = { [key: string]: unknown };

/**
 * Turns a body in Kubernetes' protobuf form into the JSON value that decodeObject takes. Throws TesseraError "BadRequest" for what is not of that form and
 * "UnsupportedMediaType" for kinds that are known only in JSON.
 *
 * Go writes fields that are not pointers even when they are empty, and the form does not tell which are: empty strings and times are left
 * out, zeros and false are kept.
 */
export function decodeProtobuf(body: Uint8Array, catalog: SchemaCatalog = builtinKinds): JsonObject {
  try {
    return decodeBody(body, catalog);
  } catch (cause) {
    if (cause instanceof TesseraError) {
      throw cause;
    }
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new TesseraError("BadRequest", `the body is no ${protobufContentType}: ${why}`, { cause });
  }
}

function decodeBody(body: Uint8Array, catalog: SchemaCatalog): JsonObject {
  if (magic.some((byte, index) => body[index] !== byte)) {
    throw new TesseraError("BadRequest", `the body is no ${protobufContentType}: it does not begin with "k8s\\0"`);
  }
  const envelope = readFields(body.subarray(magic.length));
  const type = readFields(bytesAt(envelope, 1));
  const apiVersion = text(bytesAt(type, 1));
  const kind = text(bytesAt(type, 2));
  const schema = findKind(catalog, apiVersion, kind);
  if (schema === undefined) {
    throw new TesseraError("UnsupportedMediaType", `${kind} of ${apiVersion} is accepted only as JSON or YAML`);
  }
  return { apiVersion, kind, ...decodeFields(schema.object, bytesAt(envelope, 2), 0) };
}

function findKind(catalog: SchemaCatalog, apiVersion: string, kind: string): KindSchema | undefined {
  const slash = apiVersion.lastIndexOf("/");
  const group = apiVersion.slice(0, Math.max(0, slash));
  // DeleteOptions come under the group version of what is deleted.
  const common = kind === "DeleteOptions" ? catalog.schemaOf({ group: "", version: "v1", kind }) : undefined;
  return common ?? catalog.schemaOf({ group, version: apiVersion.slice(slash + 1), kind });
}

/** One occurrence of a field: its bytes, or its number. */
type Raw = Uint8Array | number;

/** All fields of a message by number, each with its occurrences in order. */
type Fields = ReadonlyMap<number, readonly Raw[]>;

function readFields(bytes: Uint8Array): Fields {
  const reader = new BinaryReader(bytes);
  const fields = new Map<number, Raw[]>();
  while (reader.pos < reader.len) {
    const [number, wireType] = reader.tag();
    const values = fields.get(number) ?? [];
    fields.set(number, values);
    switch (wireType) {
      case WireType.Varint:
        values.push(Number(reader.int64()));
        break;
      case WireType.Bit64:
        values.push(reader.double());
        break;
      case WireType.LengthDelimited:
        values.push(reader.bytes());
        break;
      default:
        reader.skip(wireType, number);
    }
  }
  return fields;
}

function bytesAt(fields: Fields, number: number): Uint8Array {
  return asBytes(fields.get(number)?.at(-1) ?? new Uint8Array());
}

function asBytes(raw: Raw): Uint8Array {
  if (typeof raw === "number") {
    throw new Error("a number stands where a message or text is due");
  }
  return raw;
}

function asNumber(raw: Raw): number {
  if (typeof raw !== "number") {
    throw new Error("text or a message stands where a number is due");
  }
  return raw;
}

function text(bytes: Uint8Array): string {
  return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
}

function decodeFields(schema: ObjectSchema, bytes: Uint8Array, depth: number): JsonObject {
  if (depth > maxDepth) {
    throw new Error(`messages are nested more than ${maxDepth} levels deep`);
  }
  const fields = readFields(bytes);
  const embedded = new Map<number, Fields>();
  const object: JsonObject = {};
  for (const field of schema.fields.values()) {
    const occurrences = occurrencesOf(field, fields, embedded);
    if (occurrences.length > 0) {
      const value = decodeField(field.value, occurrences, depth);
      if (value !== undefined && value !== "") {
        object[field.name] = value;
      }
    }
  }
  return object;
}

function occurrencesOf(field: FieldSchema, fields: Fields, embedded: Map<number, Fields>): readonly Raw[] {
  const [first, second] = field.wire;
  if (first === undefined || second === undefined) {
    return first === undefined ? [] : (fields.get(first) ?? []);
  }
  const inner = embedded.get(first) ?? readFields(bytesAt(fields, first));
  embedded.set(first, inner);
  return inner.get(second) ?? [];
}

function decodeField(schema: ValueSchema, occurrences: readonly Raw[], depth: number): unknown {
  if (schema.type === "list") {
    return occurrences.flatMap((raw) => unpack(schema.items, raw).map((item) => decodeValue(schema.items, item, depth)));
  }
  if (schema.type === "map") {
    return decodeMap(schema.values, occurrences, depth);
  }
  const last = occurrences.at(-1);
  return last === undefined ? undefined : decodeValue(schema, last, depth);
}

/** Lists of numbers may come as one piece of bytes. */
function unpack(items: ValueSchema, raw: Raw): readonly Raw[] {
  if (typeof raw === "number" || (items.type !== "int32" && items.type !== "int64")) {
    return [raw];
  }
  const reader = new BinaryReader(raw);
  const numbers: number[] = [];
  while (reader.pos < reader.len) {
    numbers.push(Number(reader.int64()));
  }
  return numbers;
}

function decodeMap(values: ValueSchema, occurrences: readonly Raw[], depth: number): JsonObject {
  // Assigned one by one, __proto__ would change the map; made from entries, it stays a key for decodeObject to refuse.
  return Object.fromEntries(
    occurrences.map((raw) => {
      const entry = readFields(asBytes(raw));
      return [text(bytesAt(entry, 1)), decodeValue(values, entry.get(2)?.at(-1) ?? new Uint8Array(), depth)];
    }),
  );
}

function decodeValue(schema: ValueSchema, raw: Raw, depth: number): unknown {
  switch (schema.type) {
    case "object":
      return decodeFields(schema.object, asBytes(raw), depth + 1);
    case "list":
      // A list inside a map is a message with the items as its first field.
      return decodeField(schema, readFields(asBytes(raw)).get(1) ?? [], depth);
    case "map":
      return decodeMap(schema.values, [raw], depth);
    default:
      return decodeScalar(schema.type, raw);
  }
}

function decodeScalar(type: ScalarType, raw: Raw): unknown {
  switch (type) {
    case "string":
      return text(asBytes(raw));
    case "boolean":
      return asNumber(raw) !== 0;
    case "int32":
    case "int64":
    case "double":
      return asNumber(raw);
    case "bytes":
      return Buffer.from(asBytes(raw)).toString("base64");
    case "quantity":
      return text(bytesAt(readFields(asBytes(raw)), 1));
    case "time":
    case "micro-time":
      return decodeTime(readFields(asBytes(raw)), type);
    case "int-or-string": {
      const fields = readFields(asBytes(raw));
      return numberAt(fields, 1) === 0 ? numberAt(fields, 2) : text(bytesAt(fields, 3));
    }
    case "any-object":
    case "any": {
      const json = text(bytesAt(readFields(asBytes(raw)), 1));
      return json === "" ? undefined : (JSON.parse(json) as unknown);
    }
  }
}

function numberAt(fields: Fields, number: number): number {
  return asNumber(fields.get(number)?.at(-1) ?? 0);
}

/** Seconds and nanoseconds since 1970; an empty message is Go's zero time, which JSON writes as null. */
function decodeTime(fields: Fields, type: "time" | "micro-time"): string | undefined {
  if (fields.size === 0) {
    return undefined;
  }
  const seconds = new Date(numberAt(fields, 1) * 1000).toISOString().slice(0, 19);
  const micros = Math.floor(numberAt(fields, 2) / 1000);
  return type === "time" ? `${seconds}Z` : `${seconds}.${String(micros).padStart(6, "0")}Z`;
}

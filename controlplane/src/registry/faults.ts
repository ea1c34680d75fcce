import { type StatusCause, TesseraError } from "@tessera/proto";

/** What can be wrong with a field; each is a CauseType of Kubernetes without its prefix. */
export type FaultType =
  | "Required"
  | "Invalid"
  | "NotSupported"
  | "Duplicate"
  | "Forbidden"
  | "TooLong"
  | "TooMany"
  | "WrongType"
  | "UnknownField";

/** One fault of one field. Validation returns all of them and never throws at the first. */
export interface Fault {
  readonly type: FaultType;
  /** "spec.containers[0].image" */
  readonly path: string;
  /** Everything after the path: "Required value". */
  readonly message: string;
}

const causeReasons: Record<FaultType, string> = {
  Required: "FieldValueRequired",
  Invalid: "FieldValueInvalid",
  NotSupported: "FieldValueNotSupported",
  Duplicate: "FieldValueDuplicate",
  Forbidden: "FieldValueForbidden",
  TooLong: "FieldValueTooLong",
  TooMany: "FieldValueTooMany",
  WrongType: "FieldValueTypeInvalid",
  UnknownField: "FieldValueForbidden",
};

export function required(path: string, detail = ""): Fault {
  return { type: "Required", path, message: detail === "" ? "Required value" : `Required value: ${detail}` };
}

export function invalid(path: string, value: unknown, detail: string): Fault {
  return { type: "Invalid", path, message: `Invalid value: ${show(value)}: ${detail}` };
}

export function forbidden(path: string, detail: string): Fault {
  return { type: "Forbidden", path, message: `Forbidden: ${detail}` };
}

export function duplicate(path: string, value: unknown): Fault {
  return { type: "Duplicate", path, message: `Duplicate value: ${show(value)}` };
}

export function notSupported(path: string, value: unknown, supported: readonly string[]): Fault {
  const list = supported.map((each) => JSON.stringify(each)).join(", ");
  return { type: "NotSupported", path, message: `Unsupported value: ${show(value)}: supported values: ${list}` };
}

export function tooLong(path: string, maxBytes: number): Fault {
  return { type: "TooLong", path, message: `Too long: may not be more than ${maxBytes} bytes` };
}

export function immutable(path: string, value: unknown): Fault {
  return invalid(path, value, "field is immutable");
}

function show(value: unknown): string {
  const text = JSON.stringify(value) ?? "null";
  return text.length > 512 ? `${text.slice(0, 512)}...` : text;
}

/** Both lists; where the first has a fault for a path already, the second is not heard: the value it looked at was not the one that was sent. */
export function joinFaults(first: readonly Fault[], second: readonly Fault[]): readonly Fault[] {
  const paths = new Set(first.map((fault) => fault.path));
  return [...first, ...second.filter((fault) => !paths.has(fault.path))];
}

/** `Pod "web" is invalid: spec.containers[0].image: Required value`, with one cause per fault. */
export function invalidObject(kind: string, group: string, name: string, faults: readonly Fault[]): TesseraError {
  const lines = faults.map((fault) => `${fault.path}: ${fault.message}`);
  const text = lines.length === 1 ? lines[0] : `[${lines.join(", ")}]`;
  const causes: StatusCause[] = faults.map((fault) => ({ reason: causeReasons[fault.type], message: fault.message, field: fault.path }));
  return new TesseraError("Invalid", `${qualifiedKind(kind, group)} ${JSON.stringify(name)} is invalid: ${text}`, {
    causes,
    details: { name, kind, group },
  });
}

/** "Pod", "Lease.coordination.k8s.io". */
export function qualifiedKind(kind: string, group: string): string {
  return group === "" ? kind : `${kind}.${group}`;
}

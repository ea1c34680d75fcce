/** One thing that is wrong with one field of an object. */
export interface FieldFault {
  /**
   * UnknownField: there is no such field. WrongType: the value is of another type than the field. Required: the field is missing or empty.
   * NotSupported: the value is none of those allowed. Duplicate: another item has the same key. Invalid: anything else.
   */
  readonly type: "UnknownField" | "WrongType" | "Required" | "NotSupported" | "Duplicate" | "Invalid";
  /** Where: "spec.containers[0].image", "metadata.labels[app/name]". */
  readonly path: string;
  /** What is wrong and what was expected, without the path. */
  readonly message: string;
  /** The value at fault; undefined when there is none. */
  readonly value?: unknown;
}

/** The path of a field below `path`, which is empty for the object itself. */
export function fieldPath(path: string, field: string): string {
  return path === "" ? field : `${path}.${field}`;
}

/** As `fieldPath`, for a key that may also be one of a map (labels, data): what could be mistaken for a path stands in brackets. */
export function keyPath(path: string, key: string): string {
  return /^\w+$/.test(key) ? fieldPath(path, key) : `${path}[${key}]`;
}

/** The value as a short piece of a message: JSON, cut when it is long. */
export function shown(value: unknown): string {
  const text = JSON.stringify(value) ?? String(value);
  return text.length <= 80 ? text : `${text.slice(0, 77)}...`;
}
